import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { buildExecProcess } from '../spec/process.js';
import type { OciSpec, OciUser } from '../spec/types.js';
import { type CensusParts, ExecCensus, MARK } from './exec-census.js';
import { type ExecOptions, type ResolvedExecOptions, resolveExecOptions } from './exec-options.js';
import { Execution } from './execution.js';
import type { ExecutionHost } from './execution-host.js';
import type { ExecProcess, Executor, RunningExec } from './executor.js';
import type { KillReport } from './kill-tree.js';

interface Asked {
  command: string;
  args: readonly string[];
  options: ExecOptions;
  /** As `ExecRequest` has it. */
  isBrief: boolean;
}

/** Ms for which a start that met a frozen session is tried again: a kill holds it for some ten. */
const FROZEN_MS = 1_000;
const FROZEN_PAUSE_MS = 20;

export interface RunningExecsParts extends CensusParts {
  /** As it is now. */
  spec: () => OciSpec;
  resolveUser: (user: string) => Promise<OciUser>;
  assertAlive: () => void;
  /** Deadline of an exec that names none, in ms. */
  timeoutMs: number | undefined;
  /** Called when the tree of an exec was killed, whoever asked for it. */
  killed: (execId: string, report: KillReport) => void;
}

/** The executions of one session that hold anything. */
export class RunningExecs {
  readonly #parts: RunningExecsParts;
  readonly #census: ExecCensus;
  readonly #releases = new Set<Promise<void>>();
  readonly #closed = new AbortController();

  constructor(parts: RunningExecsParts) {
    this.#parts = parts;
    this.#census = new ExecCensus(parts);
    // As many as there are commands.
    setMaxListeners(0, this.#closed.signal);
  }

  /** Starts a command that somebody holds, and may ask for its pid after its end. */
  async spawn(command: string, args: readonly string[], options: ExecOptions): Promise<Execution> {
    const { process, resolved } = await this.#begin({ command, args, options, isBrief: false });
    this.#census.look(process);
    return new Execution(process, this.#host, resolved);
  }

  /** Starts a command whose result alone is wanted. */
  async run(command: string, args: readonly string[], options: ExecOptions): Promise<Execution> {
    const { process, resolved } = await this.#begin({ command, args, options, isBrief: true });
    return new Execution(process, this.#host, resolved);
  }

  async #begin({
    command,
    args,
    options,
    isBrief,
  }: Asked): Promise<{ process: ExecProcess; resolved: ResolvedExecOptions }> {
    const { spec, executor, assertAlive, timeoutMs } = this.#parts;
    const resolved = resolveExecOptions(options, timeoutMs);
    const { env = {}, cwd, user, signal, tty, input, stdin } = resolved;
    const execId = `exec-${nameAtRandom()}`;
    const asked = { command, args, env: { ...env, [MARK]: execId }, cwd, tty };
    const found = user === undefined ? undefined : await this.#parts.resolveUser(user);
    const built = buildExecProcess(spec(), { ...asked, user: found });
    if (signal?.aborted) throw new DriverError('canceled', `exec of ${command} was aborted`, { cause: signal.reason });
    assertAlive();
    const running = this.#census.note(executor().tellsAlone?.(built));
    const request = { execId, process: built, stdin: stdin === 'pipe' || input !== undefined, isBrief, signal };
    try {
      const process = await this.#start((current) => current.start(request));
      this.#census.watch(process, running);
      return { process, resolved };
    } catch (error) {
      this.#census.forget(running);
      throw error;
    }
  }

  /** Starts an operation on the session's files. Fails with `failed-precondition` where nothing inside can do any. */
  async startFiles(args: readonly Uint8Array[], input: boolean): Promise<ExecProcess> {
    this.#parts.assertAlive();
    const request = { execId: `files-${nameAtRandom()}`, args, input };
    return this.#start(async (executor) => {
      if (executor.startFiles !== undefined) return executor.startFiles(request);
      const remedy = "create the session with executor: 'supervisor'";
      const message = `the session has nothing inside that serves its files: ${remedy}`;
      throw new DriverError('failed-precondition', message, { operation: 'files', remedy });
    });
  }

  /** Takes up an exec that was detached, or that another process started. */
  async connect(execId: string): Promise<Execution> {
    this.#parts.assertAlive();
    const running = this.#census.noteEarlier();
    try {
      const process = await this.#ask((executor) => executor.connect(execId));
      this.#census.watch(process, running);
      this.#census.look(process);
      return new Execution(process, this.#host, resolveExecOptions({}, undefined));
    } catch (error) {
      this.#census.forget(running);
      throw error;
    }
  }

  /** runc starts nothing in a frozen session, and a kill of another exec freezes it for a moment. */
  async #start(start: (executor: Executor) => Promise<ExecProcess>): Promise<ExecProcess> {
    let kills = this.#census.killCount;
    for (let until = Date.now() + FROZEN_MS; ; await sleep(FROZEN_PAUSE_MS)) {
      try {
        return await this.#ask(start);
      } catch (error) {
        if (!hasCode(error, 'unknown', 'failed-precondition') || !/paused/.test(error.message)) throw error;
        // Patience is for what others do; our own kills are seen to end.
        if (kills !== this.#census.killCount) until = Date.now() + FROZEN_MS;
        kills = this.#census.killCount;
        if (Date.now() >= until) {
          throw new DriverError('failed-precondition', 'the session is paused: nothing can be started in it', {
            operation: 'exec',
            cause: error,
          });
        }
      }
    }
  }

  /** What starts commands is another one where another process has moved the session, which is seen on the way. */
  async #ask<T>(act: (executor: Executor) => Promise<T>): Promise<T> {
    const executor = this.#parts.executor();
    try {
      return await act(executor);
    } catch (error) {
      const current = this.#parts.executor();
      if (current === executor) throw error;
      return act(current);
    }
  }

  /** See `Executor`. */
  get isLinked(): boolean {
    return this.#parts.executor().isLinked ?? false;
  }

  list(): Promise<RunningExec[]> {
    this.#parts.assertAlive();
    return this.#ask((executor) => executor.list());
  }

  /** Called when the session is gone: resolves when no exec of it holds anything here. */
  async settle(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#releases);
  }

  readonly #host: ExecutionHost = {
    killTree: async (process) => {
      const report = await this.#census.killTree(process);
      this.#parts.killed(process.execId, report);
      return report;
    },
    wasOomKilled: (process, killed) => this.#census.wasOomKilled(process, killed),
    assertAlive: () => this.#parts.assertAlive(),
    seesProcesses: () => this.#parts.init().cgroup !== undefined,
    closed: this.#closed.signal,
    track: (release) => {
      const settled = release
        // The removal of the session frees its execs too, and reports what it meets.
        .catch(() => undefined)
        .finally(() => this.#releases.delete(settled));
      this.#releases.add(settled);
    },
  };
}

/** 48 bits in hex. Node keeps random bytes ahead for UUIDs alone; else each would be a call of its own. */
function nameAtRandom(): string {
  const uuid = randomUUID();
  return uuid.slice(0, 8) + uuid.slice(9, 13);
}
