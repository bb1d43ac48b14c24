/**
 * What of a host some tests stand on. A machine without it skips them and says so; `npm run test:vm` has it all, and
 * takes such a skip for a failure (scripts/vm/results.ts).
 */
import { existsSync } from 'node:fs';
import { describe } from 'vitest';
import { readHostFacts } from '../../src/session/host.js';
import type { HostFacts } from '../../src/spec/host.js';

const needs = {
  'cgroup v2': ({ cgroup }: HostFacts) => cgroup === 'v2',
  AppArmor: ({ apparmor }: HostFacts) => apparmor,
  // sd_booted(3)
  'systemd as init': () => existsSync('/run/systemd/system'),
  'disks that bfq schedules': ({ ioWeight }: HostFacts) => ioWeight,
};
export type Need = keyof typeof needs;

/** A `describe` for hosts that have it, such as `onHostWith('cgroup v2')('limits', () => { ... })`. */
export function onHostWith(need: Need): (name: string, body: () => void) => void {
  if (needs[need](readHostFacts())) return (name, body) => describe(name, body);
  const skipReason = `needs ${need}, see npm run test:vm`;
  return (name, body) => describe.skip(name, { meta: { skipReason } }, body);
}
