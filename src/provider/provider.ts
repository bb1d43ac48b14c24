import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../core/error.js';
import type { ArchiveSource } from '../image/archive.js';
import type { Image } from '../image/image.js';
import type { ImportOptions } from '../image/import.js';
import type { PullOptions } from '../image/pull-options.js';
import { type Capabilities, describeCapabilities } from '../policy/capabilities.js';
import { listGivenSecrets } from '../policy/redact.js';
import type { FlatPolicy, IsolationPolicy } from '../policy/types.js';
import { connectSession } from '../session/connect.js';
import { createSession } from '../session/create.js';
import { type SessionEvent, watchEvents } from '../session/events.js';
import type { ExecOptions, ExecResult } from '../session/exec-options.js';
import { readHostFacts } from '../session/host.js';
import type { SessionInfo } from '../session/info.js';
import { type ListFilter, listSessions } from '../session/list.js';
import { type ReapReport, reapLeftovers } from '../session/reap.js';
import type { DetectorOptions } from '../session/runtime-detector.js';
import type { Session } from '../session/session.js';
import type { HostFacts } from '../spec/host.js';
import { destroyById, execById, type SessionSource, stopById } from './by-id.js';
import { Connection } from './connection.js';
import type { CreateOptions } from './create-options.js';
import { getOrCreate } from './get-or-create.js';
import { checkHealth, type HealthResult } from './health.js';
import { Images } from './images.js';
import { Networks } from './networks.js';
import { type ProviderOptions, type ResolvedOptions, resolveOptions } from './options.js';
import { Planner } from './planner.js';
import { SessionPool } from './pool.js';
import type { PoolOptions } from './pool-options.js';
import { stripTaken } from './pool-take.js';
import { lookForPreview, previewSession, type SessionPlan } from './preview.js';
import { assumeForPreview } from './preview-away.js';
import { Volumes } from './volumes.js';

/** Between two looks for sessions whose allowlist nobody enforces, in ms. */
const TAKE_UP_MS = 1_000;

/** Runs sessions on one containerd. Nothing is connected or created before the first call. */
export class ContainerdProvider implements AsyncDisposable {
  /** Of this provider, in the framework's registry. */
  readonly name = 'containerd';
  /** List, inspect, tag, remove, import and the like. */
  readonly images = new Images(async () => ({
    ...(await this.#connection.connect()).context,
    registry: this.#options.registry,
  }));
  /** Create, list, inspect, remove, prune. */
  readonly volumes = new Volumes(async () => (await this.#connection.connect()).context);
  /** Create, list, inspect, remove, connect, disconnect. */
  readonly networks = new Networks(async () => (await this.#connection.connect()).context);
  readonly #options: ResolvedOptions;
  readonly #connection: Connection;
  readonly #planner: Planner;
  readonly #pools = new Set<SessionPool>();

  /** Throws `invalid-argument`, naming every fault, when an option is wrong. */
  constructor(options: ProviderOptions);
  /** @internal */
  constructor(options: ProviderOptions, detector: DetectorOptions);
  constructor(options: ProviderOptions, detector: DetectorOptions = {}) {
    this.#options = resolveOptions(options);
    this.#planner = new Planner(this.#options, {
      connection: () => this.#connection,
      pull: (reference, pulling) => this.images.pull(reference, pulling),
    });
    this.#connection = new Connection(this.#options, this.#planner, detector);
  }

  /**
   * What sessions of this provider can be given, by its runtime and this host. `place.containerd` is undefined until the
   * daemon has answered once; what depends on its version is then counted as supported, and refused at creation.
   */
  capabilities(): Capabilities {
    return describeCapabilities(this.#planner.describePlace(readHostFacts()));
  }

  /** Asks whether sessions can run here and now. Never rejects: what is wrong is in `message`. */
  healthCheck(): Promise<HealthResult> {
    return checkHealth(this.#connection, this.#options);
  }

  /**
   * Creates a session and resolves when it runs. Everything asked for is honoured or refused by name, before anything
   * is created: `CapabilityMismatchError` for what cannot be done here, `invalid-argument` for what makes no sense.
   */
  async createSession(policy: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<Session> {
    const plan = () => this.#planner.plan(policy);
    const { context, request } = await this.#connection.audit.watch('create', plan, () => listGivenSecrets(policy));
    return createSession(context, request);
  }

  /**
   * What would become of a policy, without creating a session: the document, what cannot be honoured, and a score of 0 to
   * 100 with what takes it down. The image must be there. Throws `invalid-argument` for what makes no sense. Elsewhere
   * than on Linux it needs no containerd and no image; `assumed` tells what stands in for them.
   */
  async plan(policy: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<SessionPlan> {
    const source =
      process.platform === 'linux'
        ? lookForPreview(await this.#connection.connect())
        : assumeForPreview(this.#connection.channel, this.#options);
    const describePlace = (host: HostFacts, runtime?: string) => this.#planner.describePlace(host, runtime);
    return previewSession(policy, { ...this.#options, ...source, describePlace });
  }

  /**
   * Keeps sessions ready that are made ahead, to be had in a millisecond: see `SessionPool`. Resolves nothing and waits for
   * nothing: what cannot be honoured throws here, what fails later rejects `take`. Closed with the provider.
   */
  pool(options: PoolOptions): SessionPool {
    const pool = new SessionPool(options, {
      options: this.#options,
      audit: this.#connection.audit,
      check: (asked) => this.#planner.check(asked),
      connect: () => this.#connection.connect(),
      prepare: (given) => this.#planner.plan(given, stripTaken),
      forget: (closed) => this.#pools.delete(closed),
    });
    this.#pools.add(pool);
    return pool;
  }

  /** The session of that name, or a new one: of several callers at once one creates it and all get it. */
  async getOrCreate(name: string, options: CreateOptions = {}): Promise<Session> {
    const create = () => this.createSession({ ...options, name });
    return getOrCreate({ connect: () => this.connect(name), create });
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
    const { context } = await this.#connection.connect();
    return connectSession(context, sessionIdOrName);
  }

  /** Sessions of this namespace, whoever created them. */
  async *list(filter: ListFilter = {}): AsyncGenerator<SessionInfo, void, undefined> {
    await this.#connection.connect();
    yield* listSessions(this.#connection.channel, filter);
  }

  /** What happens to sessions, from now on, until the signal is aborted. */
  events({ signal }: { signal?: AbortSignal } = {}): AsyncGenerator<SessionEvent, void, undefined> {
    return watchEvents(this.#connection.channel, signal);
  }

  /** The same as `images.pull`. */
  pull(reference: string, options: PullOptions = {}): Promise<Image> {
    return this.images.pull(reference, options);
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
    const { context } = await this.#connection.connect({ reap: false });
    return reapLeftovers(context);
  }

  /**
   * Enforces the allowlist of every session of the namespace that no process enforces, until the signal is aborted; a new
   * one within a second. By itself a provider does so for those that it creates or connects to, and every minute for all.
   */
  async enforce({ signal }: { signal: AbortSignal }): Promise<void> {
    const { context } = await this.#connection.connect();
    while (!signal.aborted) {
      await context.enforcers.takeUp();
      await sleep(TAKE_UP_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Destroys all sessions that this provider created or took from a pool; resolves with their number. */
  async stopAll(): Promise<number> {
    const sessions = [...this.#connection.sessions];
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

  /**
   * Ends the connection, closes pools and destroys nothing else: sessions with a `ttlMs` live on until then, the others until a reaper finds
   * that this process has ended.
   */
  async close(): Promise<void> {
    await this.#closePools();
    await this.#connection.close();
  }

  /** Destroys the sessions that this provider created and ends the connection. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#closePools();
    await this.stopAll();
    await this.#connection.close();
  }

  async #closePools(): Promise<void> {
    for (const pool of this.#pools) await pool.close();
  }

  get #source(): SessionSource {
    return { own: this.#connection.sessions, connect: (idOrName) => this.connect(idOrName) };
  }
}
