import type { OciCapabilities } from './types.js';

/**
 * What an ordinary development container needs of root and no more (capabilities(7)). Left out of what others give:
 * NET_RAW (its frames pass every packet filter inside), MKNOD, AUDIT_WRITE, SETFCAP, SETPCAP and SYS_CHROOT.
 */
const defaults = [
  'CAP_CHOWN', // package managers and tar give files to their owners
  'CAP_DAC_OVERRIDE', // root writes where the mode says no, as build scripts expect
  'CAP_FOWNER', // chmod and utime of files of other users
  'CAP_FSETID', // keeps set-group-id bits on write, as git's shared repositories need
  'CAP_KILL', // root ends what it started as another user
  'CAP_NET_BIND_SERVICE', // a server on port 80 of the session's own network
  'CAP_SETGID', // su, sudo -u and package managers drop to other users
  'CAP_SETUID',
];

/** Drops come last: what a policy drops is gone, whatever it adds. `ALL` stands for every default. */
export function buildCapabilities({ add, drop }: { add: readonly string[]; drop: readonly string[] }): OciCapabilities {
  const dropped = drop.map(nameCapability);
  const wanted = new Set(dropped.includes('CAP_ALL') ? [] : defaults);
  for (const name of add.map(nameCapability)) wanted.add(name);
  for (const name of dropped) wanted.delete(name);
  const names = [...wanted].sort();
  // No inheritable set: with it, a file capability of an image would give back what was dropped (CVE-2022-24769).
  return { bounding: names, effective: names, permitted: names };
}

function nameCapability(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}
