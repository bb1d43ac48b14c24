import type { Fault } from '../core/error.js';
import { MIB } from './fields.js';
import type { MountSpec, ResolvedPolicy } from './types.js';

/** What a policy's limits are measured against. */
export interface HostCapacity {
  cpus: number;
  memoryBytes: number;
  /** The kernel counts swap by cgroup. Without it a limit of swap would limit nothing. Defaults to true. */
  swapAccounting?: boolean;
  /** System calls can be filtered. Defaults to true. */
  seccomp?: boolean;
}

const notYet = 'nothing, as this version does not enforce it';

/** Everything asked for that could not be enforced, with why. Empty when the whole policy can be honoured. */
export function findMismatches(policy: ResolvedPolicy, host: HostCapacity): Fault[] {
  const { asked, aliases, networkMode, mounts } = policy;
  const faults: Fault[] = [];
  const refuse = (path: string, value: unknown, expected = notYet) => {
    faults.push({ path: aliases[path] ?? path, value, expected });
  };
  if (networkMode !== 'none') {
    refuse('networkMode', aliases.networkMode ? false : networkMode, 'none, the one mode that this version has');
  }
  for (const field of ['envAllowlist', 'secrets'] as const) {
    // Their values are nobody's to read.
    if (asked[field]?.length) refuse(field, '[hidden]');
  }
  for (const field of ['network', 'apparmor', 'healthCheck'] as const) {
    // An empty object asks for nothing.
    if (asked[field] !== undefined && Object.keys(asked[field]).length > 0) refuse(field, asked[field]);
  }
  if (asked.userns) refuse('userns', asked.userns);
  for (const field of ['ioWeight', 'diskMb'] as const) {
    if (asked.resources?.[field] !== undefined) refuse(`resources.${field}`, asked.resources[field]);
  }
  if (asked.seccomp === 'strict' || typeof asked.seccomp === 'object') {
    refuse('seccomp', asked.seccomp, 'default or unconfined in this version');
  } else if (policy.seccomp === 'default' && host.seccomp === false) {
    refuse('seccomp', 'default', 'unconfined, as this host cannot filter system calls');
  }
  for (const [index, mount] of mounts.entries()) faults.push(...findMountFaults(mount, `mounts[${index}]`));
  return [...faults, ...findShortages(policy, host)];
}

function findMountFaults({ type = 'bind', path, target = path }: MountSpec, at: string): Fault[] {
  if (type !== 'tmpfs') return [{ path: at, value: type, expected: 'a mount of type tmpfs in this version' }];
  // runc refuses /proc too, but only once everything has been made; the others are what the session itself stands on.
  const isTaken = /^\/(proc|sys|dev)(\/|$)/.test(target) && target !== '/dev/shm';
  return isTaken ? [{ path: at, value: target, expected: 'a place outside /proc, /sys and /dev, or /dev/shm' }] : [];
}

/** Limits that this host cannot reach, which would be no limits. */
function findShortages({ asked, aliases, resources }: ResolvedPolicy, host: HostCapacity): Fault[] {
  const { cpus, memoryBytes, memorySwapBytes } = resources;
  const faults: Fault[] = [];
  if (cpus !== undefined && cpus > host.cpus) {
    const path = aliases['resources.cpus'] ?? 'resources.cpus';
    faults.push({ path, value: cpus, expected: `at most ${host.cpus}, which this host has` });
  }
  if (memoryBytes !== undefined && memoryBytes > host.memoryBytes) {
    const path = aliases['resources.memoryMb'] ?? 'resources.memoryMb';
    const most = path === 'memory' ? `${host.memoryBytes} bytes` : `${Math.floor(host.memoryBytes / MIB)} MiB`;
    const value = path === 'memory' ? memoryBytes : asked.resources?.memoryMb;
    faults.push({ path, value, expected: `at most ${most}, which this host has` });
  }
  if (memorySwapBytes !== undefined && host.swapAccounting === false) {
    const expected = 'no limit of swap, as the kernel of this host does not count it';
    faults.push({ path: 'resources.memorySwapMb', value: asked.resources?.memorySwapMb, expected });
  }
  return faults;
}
