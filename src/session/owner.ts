import { readFileSync, readlinkSync } from 'node:fs';
import { readStat } from './proc.js';

/**
 * Names the process that answers for a session for as long as the machine is up: boot, pid namespace, pid and start
 * time, as pids alone are used again.
 */
export function describeOwner(): string {
  return `${readScope()}.${process.pid}.${readStat(process.pid)?.startTime}`;
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
  const stat = readStat(Number(pid));
  // A zombie has ended; where nobody waits for it, it stays for as long as the machine is up.
  return stat !== undefined && String(stat.startTime) === startTime && stat.state !== 'Z' && stat.state !== 'X';
}

function readScope(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').slice(0, 8);
  const namespace = readlinkSync('/proc/self/ns/pid').replace(/\D/g, '');
  return `${boot}.${namespace}`;
}
