import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionCgroup } from './cgroup.js';
import { hasEnv, type ProcessStat, readStat } from './proc.js';

const GONE_MS = 2_000;
const POLL_MS = 2;
const ROUNDS = 5;

/** What a kill reached. */
export interface KillReport {
  /** Host pids that were killed and are seen to be gone. */
  killed: number[];
  /** Host pids that belong to the exec and were still there when the report was made. */
  survivors: number[];
  /** True when the whole tree was seen and is gone; false when some of it could not be seen or told apart. */
  verified: boolean;
  /** From the call until they were gone. */
  durationMs: number;
}

export interface Tree {
  initPid: number;
  /** The process that the exec started. */
  root: ProcessStat;
  /** `NAME=value` that the exec put into its environment, inherited by all that do not wipe it. */
  mark: string;
  /** Whatever the exec started stays below it; undefined where there is none such, or it has ended. */
  reaper?: ProcessStat | undefined;
  /** Nothing but this exec ran in the session since it began, so that an orphan of that time can only be its. */
  alone: boolean;
}

/**
 * Kills everything that an exec started: children, double-forked, setsid. The session is frozen meanwhile, so that
 * nothing can fork away between the listing and the kill.
 */
export async function killTree(cgroup: SessionCgroup, tree: Tree): Promise<KillReport> {
  const started = Date.now();
  const killed = new Set<number>();
  for (let round = 1; ; round++) {
    const { members, isComplete, hasDoubt } = await killMembers(cgroup, tree);
    const survivors = (await waitUntilGone(members)).map(({ pid }) => pid);
    for (const { pid } of members) if (!survivors.includes(pid)) killed.add(pid);
    const isSure = isComplete && survivors.length === 0;
    // Without a complete freeze something may have forked away: then until nothing is found any more.
    if (isSure || survivors.length > 0 || round === ROUNDS) {
      const verified = isSure && !hasDoubt;
      return { killed: [...killed], survivors, verified, durationMs: Date.now() - started };
    }
  }
}

async function killMembers(cgroup: SessionCgroup, tree: Tree) {
  const freeze = await cgroup.freeze();
  const sent: number[] = [];
  try {
    const all = cgroup
      .listPids()
      .map(readStat)
      .filter((stat) => stat !== undefined);
    const { members, doubtful } = divide(all, tree);
    for (const member of members) if (sendKill(member)) sent.push(member.pid);
    return { members, isComplete: freeze.isComplete(), hasDoubt: doubtful.length > 0 };
  } finally {
    freeze.release(sent);
  }
}

/**
 * Three ways to belong: descent from the root, the mark in the environment, and elimination. An orphan of the exec's
 * time that wiped its environment is the exec's if nothing else in the session could have started it.
 */
function divide(all: readonly ProcessStat[], { initPid, root, mark, alone, reaper }: Tree) {
  const byPid = new Map(all.map((stat) => [stat.pid, stat]));
  const members: ProcessStat[] = [];
  const doubtful: ProcessStat[] = [];
  for (const stat of all) {
    if (stat.pid === initPid || stat.pid === reaper?.pid || isDead(stat)) continue;
    const line = listAncestry(stat, byPid, initPid);
    const top = line.at(-1) as ProcessStat;
    if (reaper !== undefined) {
      if (isSame(top, reaper) || hasEnv(stat.pid, mark)) members.push(stat);
      continue;
    }
    const isLateOrphan = top.parent === initPid && top.startTime >= root.startTime;
    const descends = line.some((ancestor) => isSame(ancestor, root));
    if (descends || hasEnv(stat.pid, mark)) members.push(stat);
    else if (isLateOrphan) (alone ? members : doubtful).push(stat);
  }
  return { members, doubtful };
}

function isSame(one: ProcessStat, other: ProcessStat): boolean {
  return one.pid === other.pid && one.startTime === other.startTime;
}

/** The process and its ancestors inside the session, below the init. */
function listAncestry(stat: ProcessStat, byPid: Map<number, ProcessStat>, initPid: number): ProcessStat[] {
  const line = [stat];
  for (let up = byPid.get(stat.parent); up !== undefined && up.pid !== initPid; up = byPid.get(up.parent))
    line.push(up);
  return line;
}

/** False when the process is no more, or its pid is another's by now. */
/** False when that process has ended. */
export function sendKill({ pid, startTime }: ProcessStat): boolean {
  if (readStat(pid)?.startTime !== startTime) return false;
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** A zombie only waits for its parent, which a paused session's init does not notice. */
export function isDead({ state }: ProcessStat): boolean {
  return state === 'Z' || state === 'X';
}

/** Resolves with those that are still there after a bounded wait; zombies are gone. */
export async function waitUntilGone(members: readonly ProcessStat[]): Promise<ProcessStat[]> {
  const isThere = ({ pid, startTime }: ProcessStat) => {
    const now = readStat(pid);
    return now !== undefined && now.startTime === startTime && !isDead(now);
  };
  let left = members.filter(isThere);
  for (const until = Date.now() + GONE_MS; left.length > 0 && Date.now() < until; left = left.filter(isThere)) {
    await sleep(POLL_MS);
  }
  return left;
}
