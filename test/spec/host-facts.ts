import type { HostFacts } from '../../src/spec/host.js';

/** A host that has everything but AppArmor, on cgroup v1. */
export const host: HostFacts = {
  cgroup: 'v1',
  cpus: 2,
  memoryBytes: 8 * 1024 ** 3,
  kernel: '6.1.0',
  arch: 'x64',
  seccomp: true,
  apparmor: false,
  userns: true,
  idmap: true,
  swapAccounting: true,
  ioWeight: true,
  network: true,
  allowlist: true,
  initPath: '/usr/bin/catatonit',
};
