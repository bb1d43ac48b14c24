import type { Fault } from '../core/error.js';
import type { ResolvedPolicy } from './types.js';

/** What a policy's limits are measured against. */
export interface HostCapacity {
  cpus: number;
  memoryBytes: number;
}

const notYet = 'nothing, as this version does not enforce it';

/** Everything asked for that could not be enforced, with why. Empty when the whole policy can be honoured. */
export function findMismatches(policy: ResolvedPolicy, host: HostCapacity): Fault[] {
  const { asked, aliases, networkMode, resources } = policy;
  const faults: Fault[] = [];
  const refuse = (path: string, value: unknown, expected = notYet) => {
    faults.push({ path: aliases[path] ?? path, value, expected });
  };
  if (networkMode !== 'none')
    refuse('networkMode', aliases.networkMode ? false : networkMode, 'none, the one mode that this version has');
  for (const field of ['envAllowlist', 'secrets'] as const) {
    // Their values are nobody's to read.
    if (asked[field]?.length) refuse(field, `${asked[field].length} entries`);
  }
  for (const field of ['network', 'apparmor', 'healthCheck'] as const) {
    if (asked[field] !== undefined) refuse(field, asked[field]);
  }
  if (asked.userns) refuse('userns', asked.userns);
  for (const field of ['ioWeight', 'diskMb'] as const) {
    if (asked.resources?.[field] !== undefined) refuse(`resources.${field}`, asked.resources[field]);
  }
  if (asked.seccomp === 'strict' || typeof asked.seccomp === 'object') {
    refuse('seccomp', asked.seccomp, 'default or unconfined in this version');
  }
  asked.mounts?.forEach(({ type = 'bind' }, index) => {
    if (type !== 'tmpfs') refuse(`mounts[${index}]`, type, 'a mount of type tmpfs in this version');
  });
  if (resources.cpus !== undefined && resources.cpus > host.cpus) {
    refuse('resources.cpus', resources.cpus, `at most ${host.cpus}, which this host has`);
  }
  if (resources.memoryBytes !== undefined && resources.memoryBytes > host.memoryBytes) {
    refuse('resources.memoryMb', resources.memoryBytes, `at most ${host.memoryBytes} bytes, which this host has`);
  }
  return faults;
}
