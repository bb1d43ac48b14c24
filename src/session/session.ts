import type { FileChange } from '../image/changes.js';
import type { Image } from '../image/image.js';
import type { OpenPort } from '../network/ports.js';
import type { NetworkRules, ResourceLimits } from '../policy/types.js';
import type { OutputChunk } from '../stdio/merge.js';
import { type AttachOptions, attachSession } from './attach.js';
import { type CommitOptions, commitSession, diffSession } from './commit.js';
import type { ExecOptions, ExecResult } from './exec-options.js';
import type { Execution } from './execution.js';
import type { RunningExec } from './executor.js';
import { SessionFiles } from './files/session-files.js';
import { type ForkOptions, forkSession } from './fork.js';
import type { ForwardOptions, PortForward } from './forward.js';
import { readInfo, type SessionInfo } from './info.js';
import type { KillReport } from './kill-tree.js';
import type { LogOptions } from './logs.js';
import { readSessionLogs } from './main-end.js';
import { checkMainOptions } from './main-options.js';
import { listPublished } from './network.js';
import { pauseTask } from './pause.js';
import { Removal } from './removal.js';
import { type SessionParts, SessionState } from './session-state.js';
import { readStats, type SessionStats, type WatchStatsOptions, watchStats } from './stats.js';
import type { StartOptions, StopOptions } from './task.js';
import { updateSession } from './update.js';
import type { Attestation } from './verify/check.js';
import { verifySession } from './verify/verify.js';

/** What of a session can change while it runs. */
export interface SessionUpdate {
  /** Memory, swap, cpus, shares, pids, disk weight. */
  resources?: ResourceLimits;
  /** The rules of a session whose `networkMode` is `allowlist`, instead of those that it has. */
  network?: Pick<NetworkRules, 'allow'>;
}

/**
 * One isolated sandbox. It lives until `destroy`; `await using` destroys it at the end of the block. Once it is gone, by
 * this process or another, every call but `destroy` throws `destroyed`.
 */
export class Session implements AsyncDisposable {
  /** Begins with `cadre-`; stays the same for as long as the session lives. */
  readonly sessionId: string;
  readonly #state: SessionState;
  readonly #removal: Removal;

  /** @internal */
  constructor(parts: SessionParts) {
    const { context, record, undo } = parts;
    this.sessionId = record.id;
    this.#state = new SessionState(parts);
    const { execs, audit, life } = this.#state;
    this.files = new SessionFiles(life, (args, input) => execs.startFiles(args, input));
    this.#removal = new Removal({ context, session: this, undo, execs, audit });
  }

  /**
   * containerd's name of the runtime, such as `io.containerd.runc.v2`; `start` may choose another. One that another process
   * has chosen is told by `info` first.
   */
  get runtime(): string {
    return this.#state.record.runtime;
  }

  /**
   * Runs a command to its end. Resolves for any exit code, for a timeout (124, `timedOut`) and for an abort; rejects
   * only when the machinery fails. The command is no shell string: pass `sh -c` where one is wanted. Throws as `spawn`
   * does, and `data-loss` where the exit code is lost.
   */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const { audit, execs, life } = this.#state;
    const start = () => life.while(() => execs.run(command, args, options));
    const execution = await audit.run({ action: 'exec', command: [command, ...args] }, start);
    return life.while(() => execution.result());
  }

  /**
   * Starts a command; resolves when it runs. Throws `invalid-argument` for options that make no sense, `not-found` for
   * a command that the session does not have, `permission-denied` for one that cannot be run, and `failed-precondition`
   * unless the session runs.
   */
  async spawn(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<Execution> {
    const { audit, execs, life } = this.#state;
    const start = () => life.while(() => execs.spawn(command, args, options));
    return audit.run({ action: 'exec', command: [command, ...args] }, start);
  }

  /** Commands that run in the session, whoever started them. */
  readonly executions = {
    list: (): Promise<RunningExec[]> => this.#state.execs.list(),
    /** Takes up a command that was detached, or that a process which is gone had started. */
    connect: (execId: string): Promise<Execution> => this.#state.execs.connect(execId),
  };

  /** Reads and writes its files; needs `executor: 'supervisor'`. */
  readonly files: SessionFiles;

  /** What it is and how it is now. A stopped session has its exit code, where it is known. */
  async info(): Promise<SessionInfo> {
    const { channel, life } = this.#state;
    return life.while(async () => readInfo(channel, await this.#state.renewRecord()));
  }

  /** What the session uses, measured over a tenth of a second. Throws `failed-precondition` unless it runs. */
  async stats(): Promise<SessionStats> {
    const { channel, life } = this.#state;
    return life.while(async () => readStats(channel, this.sessionId, await this.#state.renewInit()));
  }

  /** What the session uses, again and again, until the signal is aborted or the loop is left. */
  async *watchStats(options: WatchStatsOptions): AsyncGenerator<SessionStats, void, undefined> {
    checkMainOptions('watchStats', options);
    const { channel, life } = this.#state;
    yield* life.each(watchStats(channel, this.sessionId, () => this.#state.renewInit(), options));
  }

  /** What the session's own command wrote, also before this process was there. Empty for a session without one. */
  async *logs(options: LogOptions = {}): AsyncGenerator<OutputChunk, void, undefined> {
    const { channel, directory, life, record } = this.#state;
    life.assert();
    checkMainOptions('logs', options);
    if (record.command === undefined) return;
    yield* readSessionLogs(channel, this.sessionId, directory, options);
  }

  /**
   * Connects to the session's own command until it ends; resolves with its exit code. An abort of the signal only
   * takes the connection away. Fails with `failed-precondition` when the session has no command.
   */
  async attach(options: AttachOptions): Promise<{ exitCode: number }> {
    checkMainOptions('attach', options);
    const { channel, directory, life, record } = this.#state;
    return life.while(() => attachSession(channel, record, directory, options));
  }

  /**
   * Reads back from the kernel what the session's spec says: privileges, limits, mounts, namespaces, control groups. What
   * cannot be seen from the host, such as a guest's inside, is never `ok`. Fails with `failed-precondition` when it does
   * not run.
   */
  async verify(): Promise<Attestation> {
    const { channel, directory, life } = this.#state;
    return life.while(() => verifySession(channel, this.sessionId, directory));
  }

  /**
   * Changes limits while it runs: memory, swap, cpus, shares, pids, disk weight; and the rules of an allowlist, as a whole,
   * which hold within a second whichever process enforces them. What is not named stays.
   * `CapabilityMismatchError` for what only a new session can have; a change that is refused changes nothing.
   */
  async update(patch: SessionUpdate): Promise<void> {
    const { audit, context, life } = this.#state;
    const change = () => updateSession(context, this.sessionId, patch);
    const { allow } = patch?.network ?? {};
    const asked = { limits: { ...patch?.resources }, ...(allow === undefined ? {} : { allow }) };
    await audit.run({ action: 'update', ...asked }, () => life.while(change, { mayBeStopped: true }));
  }

  /** Stops every process of the session where it is, until `resume`. Nothing can be started in it meanwhile. */
  async pause(): Promise<void> {
    const { audit, channel, life } = this.#state;
    await audit.run({ action: 'pause' }, () => life.while(() => pauseTask(channel, this.sessionId)));
  }

  /** Thaws what `pause` froze. */
  async resume(): Promise<void> {
    const { audit, life } = this.#state;
    await audit.run({ action: 'resume' }, () => life.while(() => this.#state.resume()));
  }

  /**
   * Sets the end of its life to `ttlMs` from now and resolves with it. It is then kept until that time although its
   * owner ends, and removed at that time although its owner lives.
   */
  async extend(ttlMs: number): Promise<Date> {
    return this.#state.extend(ttlMs);
  }

  /** Ends what runs inside: SIGTERM, a grace, then SIGKILL. The root file system stays, for `start`. */
  async stop(options: StopOptions = {}): Promise<void> {
    checkMainOptions('stop', options);
    await this.#state.stop(options);
  }

  /**
   * Runs a stopped session again, on the same root file system. On another runtime, its policy is compared with what that
   * can do first: `CapabilityMismatchError` with what it cannot, and nothing has changed. One that fails to start there
   * stays what it was. Throws `failed-precondition` for one that runs, and where the runtime is not there.
   */
  async start(options: StartOptions = {}): Promise<void> {
    checkMainOptions('start', options);
    await this.#state.start(options);
  }

  /**
   * Every path that differs from the image: in content, kind, mode, owner or time of modification. The session is
   * paused meanwhile. What lies on its mounts (`/tmp`, `/dev` and the like) is not part of it.
   */
  async diff(): Promise<FileChange[]> {
    const { context, life, record } = this.#state;
    return life.while(() => diffSession(context, record), { mayBeStopped: true });
  }

  /**
   * Makes a new image of the session's root file system and the config of its image. A running session is paused while
   * its changes are read. Processes, their memory and what lies on mounts is not part of it.
   */
  async commit(options: CommitOptions): Promise<Image> {
    const { context, life, record } = this.#state;
    return life.while(() => commitSession(context, record, options), { mayBeStopped: true });
  }

  /**
   * Makes sessions that begin with this one's root file system and share it until they write; all of them run, or none
   * is left. Of a stopped session this takes no copy; a running one is paused while its changes are copied, once.
   */
  async fork(options: ForkOptions = {}): Promise<Session[]> {
    const { context, life, record } = this.#state;
    const fork = () => forkSession(context, record, options);
    return context.audit.watch('create', () => life.while(fork, { mayBeStopped: true }));
  }

  /** Ports of the host that lead to this session, as `network.ports` asked for them. */
  async ports(): Promise<OpenPort[]> {
    const { context, life } = this.#state;
    return life.while(() => listPublished(context, this.sessionId), { mayBeStopped: true });
  }

  /**
   * Reaches a port inside through one of 127.0.0.1, without publishing it, until it is closed or the session destroyed; in
   * any mode of network. A connection that nobody inside takes is reset.
   */
  async forward(options: ForwardOptions): Promise<PortForward> {
    return this.#state.forward(options);
  }

  /** SIGKILL for everything inside. The root file system stays, for `start`. */
  async kill(): Promise<KillReport> {
    return this.#state.kill();
  }

  /**
   * Kills everything in the session and removes every trace of it. May be called again: a second call does nothing,
   * or carries on where the first one failed.
   */
  async destroy(): Promise<void> {
    await this.#state.end();
    await this.#removal.run();
  }

  /** The same as `destroy`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  /** What a session of a pool becomes when it is taken. @internal */
  become(parts: Pick<SessionParts, 'record' | 'spec'>): void {
    this.#state.become(parts);
    this.#state.context.sessions.add(this);
  }

  /** See `SessionState`. @internal */
  get isReady(): boolean {
    return this.#state.isReady;
  }

  /** See `SessionState`. @internal */
  get isSound(): boolean {
    return this.#state.isSound;
  }
}
