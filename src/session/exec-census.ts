import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Gate } from '../core/gate.js';
import type { ExecProcess, Executor } from './executor.js';
import { isDead, type KillReport, killTree } from './kill-tree.js';
import { type ProcessStat, readPresent, readStat } from './proc.js';
import type { Init } from './task.js';

/** Put into the environment of every exec, so that its descendants are known by it. */
export const MARK = 'CADRE_EXEC_ID';

/** A reaper ends when all that it reaps for has. */
const REAPED_ROUNDS = 10;
const REAPED_PAUSE_MS = 2;

/** What is to be known of an exec to tell its processes from those of others. */
export interface Running {
  /** Absent until it is looked for, undefined when it had ended before that. */
  root?: ProcessStat | undefined;
  /** Nothing else ran in the session since it began. */
  alone: boolean;
  /** So far as is known here; what starts it tells the rest. */
  isTold: boolean;
  /** Of the session, when it began. */
  oomKills: number;
}

export interface CensusParts {
  /** As it was last seen. */
  executor: () => Executor;
  /** The session's own command runs beside every exec, and its orphans look like theirs. */
  hasCommand: boolean;
  /** As it was last seen. */
  init: () => Init;
  /** As it is now. */
  renewInit: () => Promise<Init>;
  /** Runs `work` while nobody else freezes or thaws the session, or is stuck at that. */
  lockFreezer: <T>(work: () => Promise<T>) => Promise<T>;
}

/** Which execs of a session run, and beside whom: by that a kill tells whose an orphan is, and an OOM kill finds its exec. */
export class ExecCensus {
  readonly #parts: CensusParts;
  /** Those whose process runs, or is being started. */
  readonly #active = new Set<Running>();
  readonly #known = new WeakMap<ExecProcess, Running>();
  /** Something was started here in another way than the rest, and may have left something running. */
  #hasOthers = false;
  /** One at a time: each freezes the session. */
  readonly #kills = new Gate(1);
  #killCount = 0;
  #oomKills: number;

  constructor(parts: CensusParts) {
    this.#parts = parts;
    this.#oomKills = this.#countOomKills();
  }

  /** How many kills have begun. */
  get killCount(): number {
    return this.#killCount;
  }

  /**
   * Notes that one more begins. What earlier ones left running may start processes that look like its own: it is looked
   * for, unless whatever starts it tells.
   */
  note(isTold = false): Running {
    const isFirst = this.#active.size === 0 && !this.#parts.hasCommand;
    for (const other of this.#active) other.alone = false;
    const alone = isFirst && ((isTold && !this.#hasOthers) || this.#isQuiet());
    this.#hasOthers ||= !isTold;
    const running: Running = { alone, isTold, oomKills: this.#countOomKills() };
    this.#active.add(running);
    return running;
  }

  /** The same of one that began before this process looked: what ran beside it is not known. */
  noteEarlier(): Running {
    const running = this.note();
    running.alone = false;
    return running;
  }

  /** It has a process now, with which it ends. */
  watch(process: ExecProcess, running: Running): void {
    // Asked of one that tells, it may have been started by another.
    running.alone &&= process.isAlone ?? !running.isTold;
    this.#known.set(process, running);
    const forget = () => this.forget(running);
    process.exited.then(forget, forget);
  }

  /** It did not begin, or has ended. */
  forget(running: Running): void {
    this.#active.delete(running);
  }

  /** Its process is found as long as it is there. */
  look(process: ExecProcess): Running | undefined {
    const running = this.#known.get(process);
    if (running !== undefined && !('root' in running)) running.root = readStat(process.pid);
    return running;
  }

  /** See `ExecutionHost`. */
  async wasOomKilled(process: ExecProcess, killed: boolean): Promise<boolean> {
    const { alone = false, oomKills = 0 } = this.#known.get(process) ?? {};
    const now = this.#countOomKills();
    // Beside others a kill counts for the first that it can have ended.
    const before = alone ? oomKills : Math.max(oomKills, this.#oomKills);
    if (now <= before || !(alone || killed || (await this.#isLeftAlone()))) return false;
    this.#oomKills = now;
    return true;
  }

  /** Ends what belongs to an exec, and nothing else; where the host does not see it, as far as it can be asked for. */
  killTree(process: ExecProcess): Promise<KillReport> {
    return this.#kills.run(async () => {
      this.#killCount++;
      const { pid: initPid, cgroup } = await this.#parts.renewInit();
      const init = readStat(initPid);
      const running = this.look(process);
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
      const tree = { initPid, root, mark: `${MARK}=${process.execId}`, alone, reaper };
      const report = await this.#parts.lockFreezer(() => killTree(cgroup, tree));
      if (cgroup.isFrozen() && report.killed.includes(process.pid)) process.assumeKilled?.();
      return report;
    });
  }

  /** Whether nothing is left in the session. The reaper of one that ended just before this began made that not alone. */
  async #isLeftAlone(): Promise<boolean> {
    const { pid: init, cgroup } = this.#parts.init();
    for (let round = 0; round < REAPED_ROUNDS && this.#active.size === 0; round++, await sleep(REAPED_PAUSE_MS)) {
      if (readPresent(() => cgroup?.listPids())?.every((pid) => pid === init)) return true;
    }
    return false;
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

  #countOomKills(): number {
    return this.#parts.init().cgroup?.countOomKills() ?? 0;
  }
}
