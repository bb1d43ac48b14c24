import { readFileSync, readlinkSync } from 'node:fs';

/** The label that names the owner, on all that a process which dies may leave in containerd. */
export const OWNER_LABEL = 'cadre.dev/owner';

/**
 * Names the process that answers for what it makes, for as long as the machine is up: boot, pid namespace, pid and
 * start time, as pids alone are used again.
 */
export function describeOwner(): string {
  return `${readScope()}.${process.pid}.${readStartTime(process.pid)}`;
}

/**
 * False when the owner is known to have ended. An owner of another pid namespace cannot be seen from here and counts
 * as alive: what is in use must never be reaped.
 */
export function isOwnerAlive(owner: string): boolean {
  const [boot, namespace, pid, startTime] = owner.split('.');
  const [ownBoot, ownNamespace] = readScope().split('.');
  if (boot !== ownBoot) return false;
  if (namespace !== ownNamespace) return true;
  return startTime !== undefined && readStartTime(Number(pid)) === startTime;
}

function readScope(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
  const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  return `${boot}.${namespace}`;
}

/** Undefined when the process has ended; a zombie has, and stays for as long as nobody waits for it (proc(5)). */
function readStartTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
