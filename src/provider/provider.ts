import { rmdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { describeOwner } from '../core/owner.js';
import type { ArchiveSource } from '../image/archive.js';
import { getImage, type Image } from '../image/image.js';
import type { ImportOptions } from '../image/import.js';
import type { FlatPolicy, IsolationPolicy, NetworkMode } from '../policy/types.js';
import { Channel } from '../rpc/channel.js';
import { probeServer } from '../rpc/probe.js';
import { connectSession } from '../session/connect.js';
import { nameStateDirectory, type SessionContext } from '../session/context.js';
import { createSession } from '../session/create.js';
import { type SessionEvent, watchEvents } from '../session/events.js';
import type { ExecOptions, ExecResult } from '../session/exec-options.js';
import { findById, listRecords } from '../session/find.js';
import { readHostFacts } from '../session/host.js';
import { readInfo, type SessionInfo } from '../session/info.js';
import { type ReapReport, reapLeftovers } from '../session/reap.js';
import type { Session } from '../session/session.js';
import { destroyById, execById, type SessionSource, stopById } from './by-id.js';
import { type CreateOptions, parseCreateOptions } from './create-options.js';
import { checkHealth, type HealthResult } from './health.js';
import { Images } from './images.js';
import { assertHost, type ProviderOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { checkRequest, planSession } from './plan.js';

export interface Capabilities {
  mounts: boolean;
  networkModes: NetworkMode[];
  envAllowlist: boolean;
  secrets: boolean;
  resources: boolean;
}

/** Which sessions `list` yields: those that match everything given. */
export interface ListFilter {
  metadata?: Record<string, string>;
  state?: SessionInfo['state'][];
}

interface Connection {
  context: SessionContext;
  /** Of the daemon. */
  uuid: string;
}

const REAP_INTERVAL_MS = 60_000;
/** For how long another's creation of the same name is waited for, in ms: its image may have to be unpacked. */
const GET_OR_CREATE_MS = 60_000;
const GET_OR_CREATE_PAUSE_MS = 50;

/** Runs sessions on one containerd. Nothing is connected or created before the first call. */
export class ContainerdProvider implements AsyncDisposable {
  readonly name = 'containerd';
  /** List, inspect, tag, remove, import and the like. */
  readonly images = new Images(async () => (await this.#connect()).context);
  readonly #options: ResolvedOptions;
  readonly #channel: Channel;
  /** Those that were created here and are not destroyed. */
  readonly #sessions = new Set<Session>();
  readonly #images = new Map<string, Image>();
  #connection: Promise<Connection> | undefined;
  #reaper: NodeJS.Timeout | undefined;

  /** Throws `invalid-argument`, naming every fault, when an option is wrong. */
  constructor(options: ProviderOptions) {
    this.#options = resolveOptions(options);
    this.#channel = new Channel(this.#options);
  }

  capabilities(): Capabilities {
    return { mounts: false, networkModes: ['none'], envAllowlist: false, secrets: false, resources: true };
  }

  /** Asks whether sessions can run here and now. Never rejects: what is wrong is in `message`. */
  healthCheck(): Promise<HealthResult> {
    return checkHealth(this.#channel);
  }

  /**
   * Creates a session and resolves when it runs. Everything asked for is honoured or refused by name, before anything
   * is created: `CapabilityMismatchError` for what cannot be done here, `invalid-argument` for what makes no sense.
   */
  async createSession(policy: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<Session> {
    const { session: asked, policy: resolved } = parseCreateOptions(policy);
    const host = readHostFacts();
    checkRequest(resolved, asked, asked.runtime ?? this.#options.runtime, host);
    const { context, uuid } = await this.#connect();
    const image = await this.#getImage(asked.image ?? this.#options.image, asked.signal);
    return createSession(context, planSession(resolved, asked, image, { context, uuid, host }));
  }

  /** The session of that name, or a new one: of several callers at once one creates it and all get it. */
  async getOrCreate(name: string, options: CreateOptions = {}): Promise<Session> {
    for (const until = Date.now() + GET_OR_CREATE_MS; ; await sleep(GET_OR_CREATE_PAUSE_MS)) {
      try {
        return await this.connect(name);
      } catch (error) {
        if (!hasCode(error, 'not-found')) throw error;
      }
      try {
        return await this.createSession({ ...options, name });
      } catch (error) {
        // Someone else is creating it: it can be connected to as soon as it has a record.
        if (!hasCode(error, 'already-exists') || Date.now() >= until) throw error;
      }
    }
  }

  /** Creates a session for a caller that keeps its id alone; it is a session like any other. */
  async startSession(policy: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<string> {
    return (await this.createSession(policy)).sessionId;
  }

  /** Runs a command to its end in the session of that id or name, whoever created it; see `Session.exec`. */
  async exec(sessionId: string, command: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return execById(this.#source, sessionId, command, options);
  }

  /** SIGTERM, a grace of ten seconds, SIGKILL; the session can be started again. */
  async stopSession(sessionId: string): Promise<void> {
    await stopById(this.#source, sessionId);
  }

  /** Removes every trace of the session; one that is gone already is none to complain of. */
  async destroySession(sessionId: string): Promise<void> {
    await destroyById(this.#source, sessionId);
  }

  /** Takes up a session that any process created, by id or by name. */
  async connect(sessionIdOrName: string): Promise<Session> {
    const { context } = await this.#connect();
    return connectSession(context, sessionIdOrName);
  }

  /** Sessions of this namespace, whoever created them. */
  async *list({ metadata = {}, state }: ListFilter = {}): AsyncGenerator<SessionInfo, void, undefined> {
    await this.#connect();
    for (const { record } of await listRecords(this.#channel)) {
      if (Object.entries(metadata).some(([key, value]) => record.metadata[key] !== value)) continue;
      const info = await readInfo(this.#channel, record);
      // One that was removed meanwhile looks like one that has stopped.
      if (info.state === 'stopped' && (await findById(this.#channel, record.id)) === undefined) continue;
      if (state === undefined || state.includes(info.state)) yield info;
    }
  }

  /** What happens to sessions, from now on, until the signal is aborted. */
  events({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<SessionEvent, void, undefined> {
    return watchEvents(this.#channel, signal);
  }

  /** The same as `images.import`. */
  importImage(archive: ArchiveSource, options: ImportOptions = {}): Promise<Image[]> {
    return this.images.import(archive, options);
  }

  /**
   * Removes what no one answers for any more, see `ReapReport`. Runs by itself at the first call of a provider and
   * every minute.
   */
  async reap(): Promise<ReapReport> {
    // The first run would be done by itself, and what it removes be missing from this one's report.
    const { context } = await this.#connect({ reap: false });
    return reapLeftovers(context);
  }

  /** Destroys all sessions that this provider created; resolves with their number. */
  async stopAll(): Promise<number> {
    const sessions = [...this.#sessions];
    const results = await Promise.allSettled(sessions.map((session) => session.destroy()));
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    if (failures.length > 0) {
      throw new DriverError('unavailable', `${failures.length} of ${sessions.length} sessions could not be destroyed`, {
        operation: 'stop all',
        cause: failures[0],
        suppressed: failures.slice(1),
      });
    }
    return sessions.length;
  }

  /** Destroys the sessions that this provider created and ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#reaper);
    await this.stopAll();
    const connection = await this.#connection?.catch(() => undefined);
    // Stays while sessions of other processes have their directories in it.
    if (connection !== undefined) await rmdir(connection.context.directory).catch(ignoreInUse);
    this.#channel.close();
  }

  get #source(): SessionSource {
    return { own: this.#sessions, connect: (idOrName) => this.connect(idOrName) };
  }

  /** An image's documents never change under one digest, so that they are read once. */
  async #getImage(reference: string, signal: AbortSignal | undefined): Promise<Image> {
    const image = await getImage(this.#channel, reference, { known: this.#images.get(reference), signal });
    this.#images.set(reference, image);
    return image;
  }

  /** Asks once who answers, and starts the reaper. A failure is forgotten, so that the next call asks again. */
  #connect(options = { reap: true }): Promise<Connection> {
    this.#connection ??= this.#open(options).catch((error: unknown) => {
      this.#connection = undefined;
      throw error;
    });
    return this.#connection;
  }

  async #open(options: { reap: boolean }): Promise<Connection> {
    assertHost();
    const { snapshotter, stateRoot } = this.#options;
    const channel = this.#channel;
    const { uuid } = await probeServer(channel);
    const directory = nameStateDirectory(stateRoot, channel);
    const context: SessionContext = {
      channel,
      snapshotter,
      directory,
      owner: describeOwner(),
      sessions: this.#sessions,
      unfinished: new Map(),
    };
    const reap = () => {
      // What resists is tried again in a minute, and told to whoever calls `reap`.
      reapLeftovers(context).catch(() => undefined);
    };
    if (options.reap) reap();
    this.#reaper = setInterval(reap, REAP_INTERVAL_MS).unref();
    return { context, uuid };
  }
}

function ignoreInUse(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'ENOENT') throw error;
}
