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
  const added = new Set(add.map(nameCapability));
  for (const name of added) wanted.add(name);
  for (const name of dropped) {
    wanted.delete(name);
    added.delete(name);
  }
  const names = [...wanted].sort();
  const sets = { bounding: names, effective: names, permitted: names };
  // No inheritable set of the defaults: with it, a file capability of an image would give an ordinary user what only
  // root was meant to have (CVE-2022-24769).
  if (added.size === 0) return sets;
  // What was asked for by name is meant for whoever the session runs as, and execve(2) leaves an ordinary user nothing
  // but the ambient set, which has to be inheritable as well.
  const ambient = [...added].sort();
  return { ...sets, inheritable: ambient, ambient };
}

function nameCapability(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}
