import { join } from 'node:path';
import type { Cleanup } from '../core/cleanup.js';
import type { FileChange } from '../image/changes.js';
import type { Image } from '../image/image.js';
import type { OpenPort } from '../network/ports.js';
import type { IsolationPolicy } from '../policy/types.js';
import { hidesProcesses } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import { FifoPool } from '../stdio/fifo.js';
import type { OutputChunk } from '../stdio/merge.js';
import { type AttachOptions, attachSession } from './attach.js';
import { SessionAudit } from './audit/session-audit.js';
import { type CommitOptions, commitSession, diffSession } from './commit.js';
import type { SessionContext } from './context.js';
import type { ExecOptions, ExecResult } from './exec-options.js';
import type { Execution } from './execution.js';
import type { Executor, RunningExec } from './executor.js';
import { extendSession } from './extend.js';
import { findRecord } from './find.js';
import { type ForkOptions, forkSession } from './fork.js';
import { checkForward, type ForwardOptions, openForward, type PortForward } from './forward.js';
import { readInfo, type SessionInfo } from './info.js';
import type { KillReport } from './kill-tree.js';
import { Life } from './life.js';
import { keepTrimmed, type LogOptions } from './logs.js';
import { readSessionLogs } from './main-end.js';
import { checkMainOptions } from './main-options.js';
import { restartMain } from './main-start.js';
import { findForwardTarget, listPublished } from './network.js';
import type { SessionRecord } from './record.js';
import { Removal } from './removal.js';
import { RunningExecs } from './running-execs.js';
import { readStats, type SessionStats, type WatchStatsOptions, watchStats } from './stats.js';
import { nameSocket } from './supervisor/door.js';
import { SupervisorExecutor } from './supervisor/executor.js';
import {
  type Init,
  killSession,
  pauseTask,
  readMounts,
  renewInit,
  resumeTask,
  type StartOptions,
  type StopOptions,
  stopTask,
} from './task.js';
import { TaskExecutor } from './task-executor.js';
import { updateSession } from './update.js';
import { cacheUsers } from './user-files.js';
import type { Attestation } from './verify/check.js';
import { verifySession } from './verify/verify.js';

export interface SessionParts {
  context: SessionContext;
  record: SessionRecord;
  spec: OciSpec;
  init: Init;
  /** Gives back everything that the session holds, in the right order. */
  undo: Cleanup;
}

/**
 * One isolated sandbox. It lives until `destroy`; `await using` destroys it at the end of the block. Once it is gone, by
 * this process or another, every call but `destroy` throws `destroyed`.
 */
export class Session implements AsyncDisposable {
  /** Begins with `cadre-`; stays the same for as long as the session lives. */
  readonly sessionId: string;
  readonly #context: SessionContext;
  #record: SessionRecord;
  readonly #life: Life;
  readonly #removal: Removal;
  readonly #execs: RunningExecs;
  readonly #audit: SessionAudit;
  #init: Init;
  #spec: OciSpec;
  readonly #forwards = new Set<PortForward>();
  #stopTrimming: () => void = () => undefined;

  /** @internal */
  constructor({ context, record, spec, init, undo }: SessionParts) {
    this.sessionId = record.id;
    this.#context = context;
    this.#record = record;
    this.#life = new Life(context, record.id);
    this.#spec = spec;
    this.#audit = new SessionAudit(context, record, spec);
    this.#init = init;
    if (record.command !== undefined) this.#stopTrimming = keepTrimmed(this.#directory);
    this.#execs = new RunningExecs({
      executor: this.#chooseExecutor(),
      spec,
      hasCommand: record.command !== undefined,
      init: () => this.#init,
      renewInit: () => this.#renewInit(),
      resolveUser: cacheUsers(() => readMounts(context.channel, record.snapshotter, record.id)),
      assertAlive: () => this.#life.assert(),
      timeoutMs: record.execTimeoutMs,
      killed: (execId, { killed }) => void this.#audit.tell({ action: 'kill', execId, killed }),
    });
    this.#removal = new Removal({ context, session: this, undo, execs: this.#execs, audit: this.#audit });
  }

  /** containerd's name of the runtime, such as `io.containerd.runc.v2`; `start` may choose another. */
  get runtime(): string {
    return this.#record.runtime;
  }

  /**
   * Runs a command to its end. Resolves for any exit code, for a timeout (124, `timedOut`) and for an abort; rejects
   * only when the machinery fails. The command is no shell string: pass `sh -c` where one is wanted. Throws as `spawn`
   * does, and `data-loss` where the exit code is lost.
   */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const execution = await this.spawn(command, args, options);
    return this.#life.while(() => execution.result());
  }

  /**
   * Starts a command; resolves when it runs. Throws `invalid-argument` for options that make no sense, `not-found` for
   * a command that the session does not have, `permission-denied` for one that cannot be run, and `failed-precondition`
   * unless the session runs.
   */
  async spawn(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<Execution> {
    const start = () => this.#life.while(() => this.#execs.spawn(command, args, options));
    return this.#audit.run({ action: 'exec', command: [command, ...args] }, start);
  }

  /** Commands that run in the session, whoever started them. */
  readonly executions = {
    list: (): Promise<RunningExec[]> => this.#execs.list(),
    /** Takes up a command that was detached, or that a process which is gone had started. */
    connect: (execId: string): Promise<Execution> => this.#execs.connect(execId),
  };

  /** What it is and how it is now. A stopped session has its exit code, where it is known. */
  async info(): Promise<SessionInfo> {
    return this.#life.while(async () => {
      const { channel } = this.#context;
      // Read anew: another process may have extended it.
      const { record } = await findRecord(channel, this.sessionId);
      return readInfo(channel, record);
    });
  }

  /** What the session uses, measured over a tenth of a second. Throws `failed-precondition` unless it runs. */
  async stats(): Promise<SessionStats> {
    return this.#life.while(async () => readStats(this.#context.channel, this.sessionId, await this.#renewInit()));
  }

  /** What the session uses, again and again, until the signal is aborted or the loop is left. */
  async *watchStats(options: WatchStatsOptions): AsyncGenerator<SessionStats, void, undefined> {
    checkMainOptions('watchStats', options);
    const { channel } = this.#context;
    yield* this.#life.each(watchStats(channel, this.sessionId, () => this.#renewInit(), options));
  }

  /** What the session's own command wrote, also before this process was there. Empty for a session without one. */
  async *logs(options: LogOptions = {}): AsyncGenerator<OutputChunk, void, undefined> {
    this.#life.assert();
    checkMainOptions('logs', options);
    if (this.#record.command === undefined) return;
    yield* readSessionLogs(this.#context.channel, this.sessionId, this.#directory, options);
  }

  /**
   * Connects to the session's own command until it ends; resolves with its exit code. An abort of the signal only
   * takes the connection away. Fails with `failed-precondition` when the session has no command.
   */
  async attach(options: AttachOptions): Promise<{ exitCode: number }> {
    checkMainOptions('attach', options);
    return this.#life.while(() => attachSession(this.#context.channel, this.#record, this.#directory, options));
  }

  /**
   * Reads back from the kernel what the session's spec says: privileges, limits, mounts, namespaces, control groups. What
   * cannot be seen from the host, such as a guest's inside, is never `ok`. Fails with `failed-precondition` when it does
   * not run.
   */
  async verify(): Promise<Attestation> {
    return this.#life.while(() => verifySession(this.#context.channel, this.sessionId, this.#directory));
  }

  /**
   * Changes limits while it runs: memory, swap, cpus, shares, pids, disk weight. What is not named stays.
   * `CapabilityMismatchError` for what only a new session can have; a change that is refused changes nothing.
   */
  async update(patch: Pick<IsolationPolicy, 'resources'>): Promise<void> {
    const change = () => updateSession(this.#context.channel, this.sessionId, patch);
    const limits = { ...patch?.resources };
    await this.#audit.run({ action: 'update', limits }, () => this.#life.while(change, { mayBeStopped: true }));
  }

  /** Stops every process of the session where it is, until `resume`. Nothing can be started in it meanwhile. */
  async pause(): Promise<void> {
    const pause = () => this.#life.while(() => pauseTask(this.#context.channel, this.sessionId));
    await this.#audit.run({ action: 'pause' }, pause);
  }

  /** Thaws what `pause` froze. */
  async resume(): Promise<void> {
    const resume = () => this.#life.while(() => resumeTask(this.#context.channel, this.sessionId));
    await this.#audit.run({ action: 'resume' }, resume);
  }

  /**
   * Sets the end of its life to `ttlMs` from now and resolves with it. It is then kept until that time although its
   * owner ends, and removed at that time although its owner lives.
   */
  async extend(ttlMs: number): Promise<Date> {
    const expiresAt = await this.#life.while(() => extendSession(this.#context.channel, this.sessionId, ttlMs));
    this.#record = { ...this.#record, expiresAt };
    return expiresAt;
  }

  /** Ends what runs inside: SIGTERM, a grace, then SIGKILL. The root file system stays, for `start`. */
  async stop(options: StopOptions = {}): Promise<void> {
    checkMainOptions('stop', options);
    const hasCommand = this.#record.command !== undefined;
    const stop = async () => {
      await findRecord(this.#context.channel, this.sessionId);
      await stopTask(this.#context.channel, this.sessionId, { init: await this.#renewInit(), hasCommand }, options);
    };
    await this.#audit.after({ action: 'stop' }, () => this.#life.while(stop));
  }

  /**
   * Runs a stopped session again, on the same root file system. On another runtime, its policy is compared with what that
   * can do first: `CapabilityMismatchError` with what it cannot, and nothing has changed. One that fails to start there
   * stays what it was. Throws `failed-precondition` for one that runs, and where the runtime is not there.
   */
  async start(options: StartOptions = {}): Promise<void> {
    checkMainOptions('start', options);
    const main = { record: this.#record, directory: this.#directory, spec: this.#spec, ...options };
    const restart = () => this.#life.while(() => restartMain(this.#context, main), { mayBeStopped: true });
    const { init, record, spec } = await this.#audit.run({ action: 'start' }, restart);
    this.#init = init;
    this.#record = record;
    this.#spec = spec;
  }

  /**
   * Every path that differs from the image: in content, kind, mode, owner or time of modification. The session is
   * paused meanwhile. What lies on its mounts (`/tmp`, `/dev` and the like) is not part of it.
   */
  async diff(): Promise<FileChange[]> {
    return this.#life.while(() => diffSession(this.#context, this.#record), { mayBeStopped: true });
  }

  /**
   * Makes a new image of the session's root file system and the config of its image. A running session is paused while
   * its changes are read. Processes, their memory and what lies on mounts is not part of it.
   */
  async commit(options: CommitOptions): Promise<Image> {
    return this.#life.while(() => commitSession(this.#context, this.#record, options), { mayBeStopped: true });
  }

  /**
   * Makes sessions that begin with this one's root file system and share it until they write; all of them run, or none
   * is left. Of a stopped session this takes no copy; a running one is paused while its changes are copied, once.
   */
  async fork(options: ForkOptions = {}): Promise<Session[]> {
    const fork = () => forkSession(this.#context, this.#record, options);
    return this.#context.audit.watch('create', () => this.#life.while(fork, { mayBeStopped: true }));
  }

  /** Ports of the host that lead to this session, as `network.ports` asked for them. */
  async ports(): Promise<OpenPort[]> {
    return this.#life.while(() => listPublished(this.#context, this.sessionId), { mayBeStopped: true });
  }

  /**
   * Reaches a port inside through one of 127.0.0.1, without publishing it, until it is closed or the session destroyed; in
   * any mode of network. A connection that nobody inside takes is reset.
   */
  async forward(options: ForwardOptions): Promise<PortForward> {
    checkForward(options);
    return this.#life.while(async () => {
      const { pid } = await this.#renewInit();
      const forward = await openForward(await findForwardTarget(this.#context, this.#record, pid), options);
      this.#forwards.add(forward);
      return forward;
    });
  }

  /** SIGKILL for everything inside. The root file system stays, for `start`. */
  async kill(): Promise<KillReport> {
    const kill = async () => {
      await findRecord(this.#context.channel, this.sessionId);
      return killSession(this.#context.channel, this.sessionId, await this.#renewInit());
    };
    return this.#audit.after(
      { action: 'kill' },
      () => this.#life.while(kill),
      ({ killed }) => ({ killed }),
    );
  }

  /**
   * Kills everything in the session and removes every trace of it. May be called again: a second call does nothing,
   * or carries on where the first one failed.
   */
  async destroy(): Promise<void> {
    this.#life.end();
    this.#stopTrimming();
    for (const forward of this.#forwards) await forward.close();
    await this.#removal.run();
  }

  /** The same as `destroy`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  #chooseExecutor(): Executor {
    const { channel, fifos } = this.#context;
    const tasks = new TaskExecutor(channel, this.sessionId, new FifoPool(this.#directory, fifos), () =>
      hidesProcesses(this.#record),
    );
    if (this.#record.asked.executor !== 'supervisor') return tasks;
    const { user } = this.#spec.process;
    return new SupervisorExecutor({
      path: nameSocket(this.#directory),
      user,
      init: () => this.#init,
      renewInit: () => this.#renewInit(),
      tasks,
    });
  }

  async #renewInit(): Promise<Init> {
    this.#init = await renewInit(this.#context.channel, this.sessionId, this.#init);
    return this.#init;
  }

  get #directory(): string {
    return join(this.#context.directory, this.sessionId);
  }
}
