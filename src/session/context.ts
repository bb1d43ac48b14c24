import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Cleanup } from '../core/cleanup.js';
import { KeyedGate } from '../core/gate.js';
import type { Image } from '../image/image.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { Channel } from '../rpc/channel.js';
import type { HostFacts } from '../spec/host.js';
import type { RuntimeChoice, RuntimeOptions } from '../spec/runtime.js';
import type { FifoStore } from '../stdio/fifo-store.js';
import type { Auditor } from './audit/auditor.js';
import type { CreateRequest } from './create.js';
import type { Enforcers } from './enforcers.js';
import type { AskedSession, ChosenExecutor, ExecutorChoice } from './record.js';
import type { Session } from './session.js';
import type { UserFilesCache } from './user-files.js';

/** A session to be made like another one. */
export interface ForkRequest extends Omit<AskedSession, 'executor' | 'executorReason' | 'askedExecutor'> {
  runtime: string;
  executor: ExecutorChoice;
  metadata: Record<string, string>;
  /** A policy in the user's words, instead of the other one's. */
  override?: unknown;
  ttlMs?: number;
  signal?: AbortSignal;
}

/** A session to be run by another runtime. */
export interface RuntimeChange {
  runtime: string;
  policy: ResolvedPolicy;
  /** What was asked to start its commands. */
  executor: ExecutorChoice;
  shimGroup?: string | undefined;
  /** What its own command has beside its output. */
  main?: Pick<AskedSession, 'tty' | 'stdin'> | undefined;
}

export interface ChosenRuntime extends ChosenExecutor {
  runtime: RuntimeChoice;
  runtimeOptions: RuntimeOptions;
  host: HostFacts;
  /** Program that is to be the session's init. */
  initPath: string;
}

/**
 * Starts at once in one shim; the rest wait their turn. With more than about 24 the shim all but stops (seen on
 * 1.6: 24 starts took 1.3 s, 32 took 20, 64 more than 60), and fewer at once are no slower in all (64 in 2.6 s).
 */
const STARTS_AT_ONCE = 4;

/** The turns that starts of processes take, by the group that shares a shim, else by the session. */
export function openStarts(): KeyedGate {
  return new KeyedGate(STARTS_AT_ONCE);
}

/** What every session of one provider shares. */
export interface SessionContext {
  channel: Channel;
  snapshotter: string;
  /** Root-only directory of this daemon's and namespace's sessions, one directory each inside. */
  directory: string;
  /** Root-only directory of this daemon's and namespace's volumes, one directory each inside. */
  volumes: string;
  /** Sources of mounts that the operator allows although they expose the host. */
  allowHostPaths: readonly string[];
  owner: string;
  audit: Auditor;
  /** Of allowlists, by this process. */
  enforcers: Enforcers;
  fifos: FifoStore;
  /** Turns of starts, by what names a shim. */
  starts: KeyedGate;
  /** Of images that sessions were made of. */
  userFiles: UserFilesCache;
  /** Those that this provider created and that are not destroyed. */
  sessions: Set<Session>;
  /** What could not be undone, by session id: the owner lives, so that no other reaper takes it. */
  unfinished: Map<string, Cleanup>;
  /** For another runtime than runc to make a session, in ms. */
  createTimeoutMs: number;
  /** Decides what a session becomes on a runtime; throws as the provider's `createSession` does. */
  chooseRuntime: (request: RuntimeChange) => Promise<ChosenRuntime>;
  /** Decides all about a session that is to be like another one; throws as the provider's `createSession` does. */
  plan: (request: ForkRequest, image: Image) => Promise<CreateRequest>;
}

/**
 * The directory under `stateRoot` that belongs to one containerd and one namespace of it. The address is part of the
 * name, so that a reaper never takes the directories of another daemon's sessions for leftovers.
 */
export function nameStateDirectory(stateRoot: string, { address, namespace }: Channel): string {
  const daemon = createHash('sha256').update(address).digest('hex').slice(0, 8);
  return join(stateRoot, `${daemon}-${namespace}`);
}

const FIFOS = 'fifos.';

/** Where a provider's unused FIFOs are, below the sessions' directory; it names the owner, for the reaper. */
export function nameFifoStore(directory: string, owner: string): string {
  return join(directory, `${FIFOS}${randomBytes(4).toString('hex')}.${owner}`);
}

/** The owner of such a directory; undefined where the name is that of something else. */
export function readFifoOwner(name: string): string | undefined {
  return name.startsWith(FIFOS) ? name.split('.').slice(2).join('.') : undefined;
}
