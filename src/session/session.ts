import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import type { Cleanup } from '../core/cleanup.js';
import { DriverError } from '../core/error.js';
import { buildExecProcess } from '../spec/process.js';
import type { OciSpec } from '../spec/types.js';
import type { FifoPool } from '../stdio/fifo.js';
import { findCgroup, type SessionCgroup } from './cgroup.js';
import type { SessionContext } from './context.js';
import { type ExecOptions, type ExecResult, execDefaults } from './exec-options.js';
import { Execution, type ExecutionHost } from './execution.js';
import type { ExecProcess, Executor } from './executor.js';
import { type KillReport, killTree } from './kill-tree.js';
import { type ProcessStat, readStat } from './proc.js';
import type { SessionRecord } from './record.js';
import { TaskExecutor } from './task-executor.js';

/** Put into the environment of every exec, so that its descendants are known by it. */
const MARK = 'CADRE_EXEC_ID';

export interface SessionParts {
  context: SessionContext;
  record: SessionRecord;
  spec: OciSpec;
  initPid: number;
  fifos: FifoPool;
  /** What the creation acquired; `destroy` gives it back. */
  undo: Cleanup;
}

/** What `killTree` needs to know of an exec that runs. */
interface Running {
  root: ProcessStat | undefined;
  alone: boolean;
}

/** One isolated sandbox. It lives until `destroy`; `await using` destroys it at the end of the block. */
export class Session implements AsyncDisposable {
  readonly sessionId: string;
  /** containerd's name of the runtime, such as `io.containerd.runc.v2`. */
  readonly runtime: string;
  readonly #record: SessionRecord;
  readonly #spec: OciSpec;
  readonly #initPid: number;
  readonly #undo: Cleanup;
  readonly #executor: Executor;
  readonly #cgroup: SessionCgroup | undefined;
  readonly #running = new Map<ExecProcess, Running>();
  readonly #releases = new Set<Promise<void>>();
  #oomKills = 0;
  #destroyed = false;

  constructor({ context, record, spec, initPid, fifos, undo }: SessionParts) {
    this.sessionId = record.id;
    this.runtime = record.runtime;
    this.#record = record;
    this.#spec = spec;
    this.#initPid = initPid;
    this.#undo = undo;
    this.#executor = new TaskExecutor(context.channel, record.id, fifos);
    this.#cgroup = findCgroup(initPid);
  }

  /**
   * Runs a command to its end. Resolves for any exit code, for a timeout (124, `timedOut`) and for an abort; rejects
   * only when the machinery fails. The command is no shell string: pass `sh -c` where one is wanted.
   */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const execution = await this.spawn(command, args, options);
    return execution.result();
  }

  /** Starts a command; resolves when it runs. */
  async spawn(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<Execution> {
    this.#assertAlive();
    const { env = {}, cwd, user, signal, tty = false } = options;
    if (signal?.aborted) throw new DriverError('canceled', `exec of ${command} was aborted`, { cause: signal.reason });
    const execId = `exec-${randomBytes(6).toString('hex')}`;
    const process = buildExecProcess(this.#spec, { command, args, env: { ...env, [MARK]: execId }, cwd, user, tty });
    const started = await this.#executor.start({ execId, process, stdin: options.stdin === 'pipe', signal });
    this.#assertAlive();
    this.#note(started);
    const timeoutMs = options.timeoutMs ?? this.#record.execTimeoutMs;
    return new Execution(started, this.#host, {
      ...execDefaults,
      ...options,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  /**
   * Kills everything in the session and removes every trace of it. May be called again: a second call does nothing,
   * or carries on where the first one failed.
   */
  async destroy(): Promise<void> {
    this.#destroyed = true;
    const failure = await this.#undo.run();
    await Promise.all(this.#releases);
    if (failure === undefined) return;
    throw new DriverError(
      'unavailable',
      `session ${this.sessionId} is not fully destroyed: ${failure.pending.join(', ')} left`,
      {
        operation: `remove ${failure.step}`,
        cause: failure.error,
      },
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.destroy();
  }

  readonly #host: ExecutionHost = {
    killTree: (process) => this.#killTree(process),
    wasOomKilled: () => {
      const seen = this.#oomKills;
      this.#oomKills = this.#cgroup?.countOomKills() ?? 0;
      return this.#oomKills > seen;
    },
    assertAlive: () => this.#assertAlive(),
    track: (release) => {
      const settled = release
        // The removal of the session frees its execs too, and reports what it meets.
        .catch(() => undefined)
        .finally(() => this.#releases.delete(settled));
      this.#releases.add(settled);
    },
  };

  #assertAlive(): void {
    if (this.#destroyed) throw new DriverError('destroyed', `session ${this.sessionId} is destroyed`);
  }

  #note(process: ExecProcess): void {
    const alone = this.#running.size === 0;
    for (const other of this.#running.values()) other.alone = false;
    this.#running.set(process, { root: readStat(process.pid), alone });
    const forget = () => this.#running.delete(process);
    process.exited.then(forget, forget);
  }

  async #killTree(process: ExecProcess): Promise<KillReport> {
    const init = readStat(this.#initPid);
    if (this.#cgroup === undefined || init === undefined) {
      const started = Date.now();
      await process.signal(constants.signals.SIGKILL);
      return { killed: [process.pid], survivors: [], verified: false, durationMs: Date.now() - started };
    }
    // A command that has ended before it was seen leaves no start time to tell its orphans by: all are in doubt then.
    const { root = { ...init, pid: process.pid }, alone = false } = this.#running.get(process) ?? {};
    const mark = `${MARK}=${process.execId}`;
    return killTree(this.#cgroup, { initPid: this.#initPid, root, mark, alone });
  }
}
