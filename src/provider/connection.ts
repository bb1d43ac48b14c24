import { rmdir } from 'node:fs/promises';
import { describeOwner } from '../core/owner.js';
import type { Image } from '../image/image.js';
import { removeIdleNetwork } from '../network/networks.js';
import { Channel } from '../rpc/channel.js';
import { probeServer } from '../rpc/probe.js';
import { Auditor } from '../session/audit/auditor.js';
import {
  type ForkRequest,
  nameFifoStore,
  nameStateDirectory,
  openStarts,
  type SessionContext,
} from '../session/context.js';
import type { CreateRequest } from '../session/create.js';
import { Enforcers } from '../session/enforcers.js';
import { reapLeftovers } from '../session/reap.js';
import { type DetectorOptions, RuntimeDetector } from '../session/runtime-detector.js';
import type { Session } from '../session/session.js';
import { UserFilesCache } from '../session/user-files.js';
import { FifoStore } from '../stdio/fifo-store.js';
import { assertHost, type ResolvedOptions } from './options.js';

const REAP_INTERVAL_MS = 60_000;

/** A daemon that has answered. */
export interface Connected {
  context: SessionContext;
  /** Of the daemon. */
  uuid: string;
}

/** Plans a session that is to be like another one. */
type PlanFork = (request: ForkRequest, image: Image, connected: Connected) => Promise<CreateRequest>;

/** What a provider decides for its sessions. */
export interface Decisions {
  planFork: PlanFork;
  chooseRuntime: SessionContext['chooseRuntime'];
}

/** The one connection of a provider, with the reaper that runs for as long as it is open. */
export class Connection {
  readonly channel: Channel;
  /** Those that were created here and are not destroyed. */
  readonly sessions = new Set<Session>();
  readonly audit: Auditor;
  readonly runtimes: RuntimeDetector;
  readonly #options: ResolvedOptions;
  readonly #decisions: Decisions;
  #connected: Promise<Connected> | undefined;
  #version: string | undefined;
  #reaper: NodeJS.Timeout | undefined;

  constructor(options: ResolvedOptions, decisions: Decisions, detector: DetectorOptions) {
    this.#options = options;
    this.#decisions = decisions;
    this.channel = new Channel(options);
    this.runtimes = new RuntimeDetector(this.channel, detector);
    const { audit: sink, actor, auditFailure: onFailure } = options;
    this.audit = new Auditor({ sink, actor, onFailure });
  }

  /** Asks once who answers, and starts the reaper. A failure is forgotten, so that the next call asks again. */
  connect(options = { reap: true }): Promise<Connected> {
    this.#connected ??= this.#open(options).catch((error: unknown) => {
      this.#connected = undefined;
      throw error;
    });
    return this.#connected;
  }

  /** Of the daemon that answered last; undefined until one has. */
  get version(): string | undefined {
    return this.#version;
  }

  async close(): Promise<void> {
    clearInterval(this.#reaper);
    const connected = await this.#connected?.catch(() => undefined);
    clearInterval(this.#reaper);
    await connected?.context.enforcers.closeAll();
    await connected?.context.fifos.close();
    // Stays while sessions of other processes have their directories in it.
    await this.audit.settle();
    // What fails here the next reaper does.
    if (connected !== undefined) await removeIdleNetwork(connected.context.directory).catch(() => undefined);
    if (connected !== undefined) await rmdir(connected.context.directory).catch(ignoreInUse);
    this.channel.close();
  }

  async #open(options: { reap: boolean }): Promise<Connected> {
    assertHost();
    const { snapshotter, stateRoot, volumeRoot, allowHostPaths, createTimeoutMs } = this.#options;
    const { uuid, version } = await probeServer(this.channel);
    this.#version = version;
    const owner = describeOwner();
    const directory = nameStateDirectory(stateRoot, this.channel);
    const context: SessionContext = {
      channel: this.channel,
      snapshotter,
      directory,
      volumes: nameStateDirectory(volumeRoot, this.channel),
      allowHostPaths,
      owner,
      enforcers: new Enforcers({ channel: this.channel, directory, audit: this.audit }),
      fifos: new FifoStore(nameFifoStore(directory, owner)),
      starts: openStarts(),
      userFiles: new UserFilesCache(),
      audit: this.audit,
      sessions: this.sessions,
      unfinished: new Map(),
      createTimeoutMs,
      chooseRuntime: (change) => this.#decisions.chooseRuntime(change),
      plan: (request, image) => this.#decisions.planFork(request, image, { context, uuid }),
    };
    const reap = () => {
      // What resists is tried again in a minute, and told to whoever calls `reap`.
      reapLeftovers(context).catch(() => undefined);
    };
    if (options.reap) reap();
    const pass = () => {
      reap();
      // Not at once: a call that is over in a moment would keep those out that stay.
      context.enforcers.takeUp().catch(() => undefined);
    };
    this.#reaper = setInterval(pass, REAP_INTERVAL_MS).unref();
    return { context, uuid };
  }
}

function ignoreInUse(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error;
}
