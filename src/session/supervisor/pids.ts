import { uptime } from 'node:os';
import { listChildren, readOptional, readStat, TICKS_PER_SECOND } from '../proc.js';
import type { Init } from '../task.js';
import type { HostPids } from './process.js';

/** The two clocks are not read at once. */
const MARGIN_TICKS = 2;
/** For one that is not among the children: of two that are next to each other the end of one can hide the other. */
const LOOKS = 4;

/**
 * What runs below the session's first process, by the numbers that the session has for it. A number of the session's own
 * is told by the kernel alone (NSpid in proc_pid_status(5)), so that nothing inside can name a process of the host. What
 * began after `at`, a time of `performance.now()`, is another that has got the number since.
 */
export function findPids({ pid: init, cgroup }: Init, inside: HostPids, at: number): HostPids {
  // A guest's are none of this host's: what is there is the hypervisor.
  if (cgroup === undefined) return { reaper: 0, pid: init };
  const latest = (uptime() - (performance.now() - at) / 1000) * TICKS_PER_SECOND + MARGIN_TICKS;
  const reaper = findChild(init, inside.reaper, latest);
  return { reaper, pid: reaper === 0 ? 0 : findChild(reaper, inside.pid, latest) };
}

/** 0 when it is no more, or where this host does not see the session's processes. */
function findChild(parent: number, number: number, latest: number): number {
  const isIt = (child: number) => readNumber(child) === number && (readStat(child)?.startTime ?? latest + 1) <= latest;
  for (let look = 0; look < LOOKS; look++) {
    // Mostly the latest is looked for.
    const found = listChildren(parent).reverse().find(isIt);
    if (found !== undefined) return found;
  }
  return 0;
}

function readNumber(pid: number): number {
  return Number(readOptional(`/proc/${pid}/status`)?.match(/^NSpid:.*\t(\d+)$/m)?.[1]);
}
