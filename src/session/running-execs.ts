import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { Gate } from '../core/gate.js';
import { buildExecProcess } from '../spec/process.js';
import type { OciSpec, OciUser } from '../spec/types.js';
import { type ExecOptions, type ResolvedExecOptions, resolveExecOptions } from './exec-options.js';
import { Execution } from './execution.js';
import type { ExecutionHost } from './execution-host.js';
import type { ExecProcess, Executor, RunningExec } from './executor.js';
import { isDead, type KillReport, killTree } from './kill-tree.js';
import { type ProcessStat, readPresent, readStat } from './proc.js';
import type { Init } from './task.js';

/** Put into the environment of every exec, so that its descendants are known by it. */
const MARK = 'CADRE_EXEC_ID';

/** What is to be known of an exec to tell its processes from those of others. */
interface Running {
  /** Absent until it is looked for, undefined when it had ended before that. */
  root?: ProcessStat | undefined;
  /** Nothing else ran in the session since it began. */
  alone: boolean;
  /** So far as is known here; what starts it tells the rest. */
  isTold: boolean;
  hasEnded: boolean;
  /** Of the session, when it began. */
  oomKills: number;
}

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
/** A reaper ends when all that it reaps for has. */
const REAPED_ROUNDS = 10;
const REAPED_PAUSE_MS = 2;

export interface RunningExecsParts {
  /** As it was last seen. */
  executor: () => Executor;
  /** As it is now. */
  spec: () => OciSpec;
  /** The session's own command runs beside every exec, and its orphans look like theirs. */
  hasCommand: boolean;
  /** As it was last seen. */
  init: () => Init;
  /** As it is now. */
  renewInit: () => Promise<Init>;
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
  /** Those whose process runs, or is being started. */
  readonly #active = new Set<Running>();
  readonly #known = new WeakMap<ExecProcess, Running>();
  /** Something was started here in another way than the rest, and may have left something running. */
  #hasOthers = false;
  readonly #releases = new Set<Promise<void>>();
  readonly #closed = new AbortController();
  /** One at a time: each freezes the session. */
  readonly #kills = new Gate(1);
  /** How many have begun. */
  #killCount = 0;
  #oomKills: number;

  constructor(parts: RunningExecsParts) {
    this.#parts = parts;
    this.#oomKills = this.#countOomKills();
    // As many as there are commands.
    setMaxListeners(0, this.#closed.signal);
  }

  /** Starts a command that somebody holds, and may ask for its pid after its end. */
  async spawn(command: string, args: readonly string[], options: ExecOptions): Promise<Execution> {
    const { process, resolved } = await this.#begin({ command, args, options, isBrief: false });
    this.#look(process);
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
    const running = this.#note(executor().tellsAlone?.(built));
    const request = { execId, process: built, stdin: stdin === 'pipe' || input !== undefined, isBrief, signal };
    try {
      const process = await this.#start((current) => current.start(request));
      this.#watch(process, running);
      return { process, resolved };
    } catch (error) {
      this.#active.delete(running);
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
    // What ran before is not known here.
    const running = this.#note(false);
    running.alone = false;
    try {
      const process = await this.#ask((executor) => executor.connect(execId));
      this.#watch(process, running);
      this.#look(process);
      return new Execution(process, this.#host, resolveExecOptions({}, undefined));
    } catch (error) {
      this.#active.delete(running);
      throw error;
    }
  }

  /** runc starts nothing in a frozen session, and a kill of another exec freezes it for a moment. */
  async #start(start: (executor: Executor) => Promise<ExecProcess>): Promise<ExecProcess> {
    let kills = this.#killCount;
    for (let until = Date.now() + FROZEN_MS; ; await sleep(FROZEN_PAUSE_MS)) {
      try {
        return await this.#ask(start);
      } catch (error) {
        if (!hasCode(error, 'unknown', 'failed-precondition') || !/paused/.test(error.message)) throw error;
        // Patience is for what others do; our own kills are seen to end.
        if (kills !== this.#killCount) until = Date.now() + FROZEN_MS;
        kills = this.#killCount;
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

  /** Its process is found as long as it is there. */
  #look(process: ExecProcess): Running | undefined {
    const running = this.#known.get(process);
    if (running !== undefined && !('root' in running)) running.root = readStat(process.pid);
    return running;
  }

  #watch(process: ExecProcess, running: Running): void {
    // Asked of one that tells, it may have been started by another.
    running.alone &&= process.isAlone ?? !running.isTold;
    this.#known.set(process, running);
    const forget = () => {
      running.hasEnded = true;
      this.#active.delete(running);
    };
    process.exited.then(forget, forget);
  }

  /** Called when the session is gone: resolves when no exec of it holds anything here. */
  async settle(): Promise<void> {
    this.#closed.abort();
    await Promise.all(this.#releases);
  }

  readonly #host: ExecutionHost = {
    killTree: async (process) => {
      const report = await this.#killTree(process);
      this.#parts.killed(process.execId, report);
      return report;
    },
    wasOomKilled: async (process, killed) => {
      const { alone = false, oomKills = 0 } = this.#known.get(process) ?? {};
      const now = this.#countOomKills();
      // Beside others a kill counts for the first that it can have ended.
      const before = alone ? oomKills : Math.max(oomKills, this.#oomKills);
      if (now <= before || !(alone || killed || (await this.#isLeftAlone()))) return false;
      this.#oomKills = now;
      return true;
    },
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

  /** Whether nothing is left in the session. The reaper of one that ended just before this began made that not alone. */
  async #isLeftAlone(): Promise<boolean> {
    const { pid: init, cgroup } = this.#parts.init();
    for (let round = 0; round < REAPED_ROUNDS && this.#active.size === 0; round++, await sleep(REAPED_PAUSE_MS)) {
      if (readPresent(() => cgroup?.listPids())?.every((pid) => pid === init)) return true;
    }
    return false;
  }

  #countOomKills(): number {
    return this.#parts.init().cgroup?.countOomKills() ?? 0;
  }

  /**
   * Notes that one more begins. What earlier ones left running may start processes that look like its own: it is looked
   * for, unless whatever starts it tells.
   */
  #note(isTold = false): Running {
    const isFirst = this.#active.size === 0 && !this.#parts.hasCommand;
    for (const other of this.#active) other.alone = false;
    const alone = isFirst && ((isTold && !this.#hasOthers) || this.#isQuiet());
    this.#hasOthers ||= !isTold;
    const running: Running = { alone, isTold, hasEnded: false, oomKills: this.#countOomKills() };
    this.#active.add(running);
    return running;
  }

  /** Nobody's command is in the session. */
  #isQuiet(): boolean {
    const executor = this.#parts.executor();
    const { pid, cgroup } = this.#parts.init();
    return (cgroup?.listPids() ?? []).every((other) => {
      const stat = other === pid ? undefined : readStat(other);
      return stat === undefined || isDead(stat) || executor.owns?.(other) === true;
    });
  }

  #killTree(process: ExecProcess): Promise<KillReport> {
    return this.#kills.run(async () => {
      this.#killCount++;
      const { pid: initPid, cgroup } = await this.#parts.renewInit();
      const init = readStat(initPid);
      const running = this.#look(process);
      if (cgroup === undefined || init === undefined) {
        const started = Date.now();
        const verified = (await process.killTree?.()) ?? false;
        // The runtime was asked, and what came of that is not seen.
        if (!verified) await process.signal(constants.signals.SIGKILL);
        return { killed: [], survivors: [], verified, durationMs: Date.now() - started };
      }
      // One that ended before it was seen leaves no start time to tell its orphans by: all are in doubt then.
      const root = running?.root ?? { ...init, pid: process.pid };
      const alone = running?.root !== undefined && running.alone;
      const reaper = process.reaper === undefined ? undefined : readStat(process.reaper);
      const report = await killTree(cgroup, { initPid, root, mark: `${MARK}=${process.execId}`, alone, reaper });
      if (cgroup.isFrozen() && report.killed.includes(process.pid)) process.assumeKilled?.();
      return report;
    });
  }
}

/** 48 bits in hex. Node keeps random bytes ahead for UUIDs alone; else each would be a call of its own. */
function nameAtRandom(): string {
  const uuid = randomUUID();
  return uuid.slice(0, 8) + uuid.slice(9, 13);
}
