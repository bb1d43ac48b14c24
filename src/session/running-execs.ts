import { randomBytes } from 'node:crypto';
import { constants } from 'node:os';
import { DriverError } from '../core/error.js';
import { buildExecProcess } from '../spec/process.js';
import type { OciSpec, OciUser } from '../spec/types.js';
import { type ExecOptions, type ResolvedExecOptions, resolveExecOptions } from './exec-options.js';
import { Execution, type ExecutionHost } from './execution.js';
import type { ExecProcess, Executor, RunningExec } from './executor.js';
import { pipeInput } from './input.js';
import { type KillReport, killTree } from './kill-tree.js';
import { type ProcessStat, readStat } from './proc.js';
import type { Init } from './task.js';

/** Put into the environment of every exec, so that its descendants are known by it. */
const MARK = 'CADRE_EXEC_ID';

/** What `killTree` needs to know of an exec that runs. */
interface Running {
  root: ProcessStat | undefined;
  alone: boolean;
}

export interface RunningExecsParts {
  executor: Executor;
  spec: OciSpec;
  /** The session's own command runs beside every exec, and its orphans look like theirs. */
  hasCommand: boolean;
  init: () => Init;
  resolveUser: (user: string) => Promise<OciUser>;
  assertAlive: () => void;
  /** Deadline of an exec that names none, in ms. */
  timeoutMs: number | undefined;
}

/** The executions of one session that hold anything. */
export class RunningExecs {
  readonly #parts: RunningExecsParts;
  readonly #running = new Map<ExecProcess, Running>();
  readonly #releases = new Set<Promise<void>>();
  #oomKills = 0;

  constructor(parts: RunningExecsParts) {
    this.#parts = parts;
  }

  async spawn(command: string, args: readonly string[], options: ExecOptions): Promise<Execution> {
    const { spec, executor, assertAlive, timeoutMs } = this.#parts;
    const resolved = resolveExecOptions(options, timeoutMs);
    const { env = {}, cwd, user, signal, tty, input, stdin } = resolved;
    const execId = `exec-${randomBytes(6).toString('hex')}`;
    const process = buildExecProcess(spec, {
      command,
      args,
      env: { ...env, [MARK]: execId },
      cwd,
      user: user === undefined ? undefined : await this.#parts.resolveUser(user),
      tty,
    });
    if (signal?.aborted) throw new DriverError('canceled', `exec of ${command} was aborted`, { cause: signal.reason });
    assertAlive();
    const started = await executor.start({ execId, process, stdin: stdin === 'pipe' || input !== undefined, signal });
    const execution = this.#watch(started, resolved);
    if (input !== undefined && started.stdin !== null) pipeInput(input, started.stdin);
    return execution;
  }

  /** Takes up an exec that was detached, or that another process started. */
  async connect(execId: string): Promise<Execution> {
    this.#parts.assertAlive();
    return this.#watch(await this.#parts.executor.connect(execId), resolveExecOptions({}, undefined));
  }

  list(): Promise<RunningExec[]> {
    this.#parts.assertAlive();
    return this.#parts.executor.list();
  }

  #watch(process: ExecProcess, options: ResolvedExecOptions): Execution {
    this.#note(process);
    return new Execution(process, this.#host, options);
  }

  /** Resolves when no exec of the session holds anything here. */
  async settle(): Promise<void> {
    await Promise.all(this.#releases);
  }

  readonly #host: ExecutionHost = {
    killTree: (process) => this.#killTree(process),
    wasOomKilled: () => {
      const seen = this.#oomKills;
      this.#oomKills = this.#parts.init().cgroup?.countOomKills() ?? 0;
      return this.#oomKills > seen;
    },
    assertAlive: () => this.#parts.assertAlive(),
    track: (release) => {
      const settled = release
        // The removal of the session frees its execs too, and reports what it meets.
        .catch(() => undefined)
        .finally(() => this.#releases.delete(settled));
      this.#releases.add(settled);
    },
  };

  #note(process: ExecProcess): void {
    const alone = this.#running.size === 0 && !this.#parts.hasCommand;
    for (const other of this.#running.values()) other.alone = false;
    this.#running.set(process, { root: readStat(process.pid), alone });
    const forget = () => this.#running.delete(process);
    process.exited.then(forget, forget);
  }

  async #killTree(process: ExecProcess): Promise<KillReport> {
    const { pid: initPid, cgroup } = this.#parts.init();
    const init = readStat(initPid);
    if (cgroup === undefined || init === undefined) {
      const started = Date.now();
      await process.signal(constants.signals.SIGKILL);
      return { killed: [process.pid], survivors: [], verified: false, durationMs: Date.now() - started };
    }
    // A command that has ended before it was seen leaves no start time to tell its orphans by: all are in doubt then.
    const { root = { ...init, pid: process.pid }, alone = false } = this.#running.get(process) ?? {};
    return killTree(cgroup, { initPid, root, mark: `${MARK}=${process.execId}`, alone });
  }
}
