import { listChildren, readOptional } from '../proc.js';
import type { Init } from '../task.js';
import type { HostPids } from './process.js';

/**
 * What runs below the session's first process, by the numbers that the session has for it. A number of the session's own
 * is told by the kernel alone (NSpid in proc_pid_status(5)), so that nothing inside can name a process of the host.
 */
export function findPids({ pid: init }: Init, inside: HostPids): HostPids {
  const reaper = findChild(init, inside.reaper);
  return { reaper, pid: reaper === 0 ? 0 : findChild(reaper, inside.pid) };
}

/** 0 when it is no more, or where this host does not see the session's processes. */
function findChild(parent: number, number: number): number {
  // Mostly the latest is looked for.
  return (
    listChildren(parent)
      .reverse()
      .find((child) => readNumber(child) === number) ?? 0
  );
}

function readNumber(pid: number): number {
  return Number(readOptional(`/proc/${pid}/status`)?.match(/^NSpid:.*\t(\d+)$/m)?.[1]);
}
