import { setTimeout as sleep } from 'node:timers/promises';
import type { SessionCgroup } from './cgroup.js';
import { hasEnv, type ProcessStat, readStat } from './proc.js';

const GONE_MS = 2_000;
const POLL_MS = 2;

/** What a kill reached. */
export interface KillReport {
  /** Host pids that were killed and are seen to be gone. */
  killed: number[];
  /** Host pids that belong to the exec and were still there when the report was made. */
  survivors: number[];
  /** True when the whole tree was seen and is gone; false when some of it could not be seen or told apart. */
  verified: boolean;
  durationMs: number;
}

export interface Tree {
  initPid: number;
  /** The process that the exec started. */
  root: ProcessStat;
  /** `NAME=value` that the exec put into its environment, inherited by all that do not wipe it. */
  mark: string;
  /** Nothing but this exec ran in the session since it began, so that an orphan of that time can only be its. */
  alone: boolean;
}

/**
 * Kills everything that an exec started: children, double-forked, setsid. The session is frozen meanwhile, so that
 * nothing can fork away between the listing and the kill.
 */
export async function killTree(cgroup: SessionCgroup, tree: Tree): Promise<KillReport> {
  const started = Date.now();
  const frozen = await cgroup.freeze();
  let members: ProcessStat[];
  let doubtful: ProcessStat[];
  try {
    const all = cgroup
      .listPids()
      .map(readStat)
      .filter((stat) => stat !== undefined);
    ({ members, doubtful } = divide(all, tree));
    for (const { pid, startTime } of members) sendKill(pid, startTime);
  } finally {
    cgroup.thaw();
  }
  const survivors = await waitUntilGone(members);
  return {
    killed: members.filter((member) => !survivors.includes(member)).map(({ pid }) => pid),
    survivors: survivors.map(({ pid }) => pid),
    verified: frozen && survivors.length === 0 && doubtful.length === 0,
    durationMs: Date.now() - started,
  };
}

/**
 * Three ways to belong: descent from the root, the mark in the environment, and elimination. An orphan of the exec's
 * time that wiped its environment is the exec's if nothing else in the session could have started it.
 */
function divide(all: readonly ProcessStat[], { initPid, root, mark, alone }: Tree) {
  const byPid = new Map(all.map((stat) => [stat.pid, stat]));
  const members: ProcessStat[] = [];
  const doubtful: ProcessStat[] = [];
  for (const stat of all) {
    if (stat.pid === initPid || stat.state === 'Z') continue;
    const line = listAncestry(stat, byPid, initPid);
    const top = line.at(-1) as ProcessStat;
    const isLateOrphan = top.parent === initPid && top.startTime >= root.startTime;
    if (line.some(({ pid }) => pid === root.pid) || hasEnv(stat.pid, mark)) members.push(stat);
    else if (isLateOrphan) (alone ? members : doubtful).push(stat);
  }
  return { members, doubtful };
}

/** The process and its ancestors inside the session, below the init. */
function listAncestry(stat: ProcessStat, byPid: Map<number, ProcessStat>, initPid: number): ProcessStat[] {
  const line = [stat];
  for (let up = byPid.get(stat.parent); up !== undefined && up.pid !== initPid; up = byPid.get(up.parent))
    line.push(up);
  return line;
}

function sendKill(pid: number, startTime: number): void {
  if (readStat(pid)?.startTime !== startTime) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Resolves with those that are still there after a bounded wait; zombies are gone. */
export async function waitUntilGone(members: readonly ProcessStat[]): Promise<ProcessStat[]> {
  const isThere = ({ pid, startTime }: ProcessStat) => {
    const now = readStat(pid);
    return now !== undefined && now.startTime === startTime && now.state !== 'Z' && now.state !== 'X';
  };
  let left = members.filter(isThere);
  for (const until = Date.now() + GONE_MS; left.length > 0 && Date.now() < until; left = left.filter(isThere)) {
    await sleep(POLL_MS);
  }
  return left;
}
