/** What a spec depends on of the host that it will run on. */
export interface HostFacts {
  /** `hybrid` has the controllers on v1 and an empty v2 hierarchy beside them. */
  cgroup: 'v1' | 'v2' | 'hybrid';
  cpus: number;
  memoryBytes: number;
  /** As uname(2) has it, such as `6.1.0-18-amd64`. */
  kernel: string;
  /** Node's name of the processor, such as `x64`. */
  arch: string;
  /** The kernel filters system calls, and there is a profile for the processor. */
  seccomp: boolean;
  /** Profiles of AppArmor can be applied. */
  apparmor: boolean;
  /** User namespaces can be made. */
  userns: boolean;
  /** overlayfs takes layers whose ids are mapped. */
  idmap: boolean;
  /** All disks are shared by the weight of their users. */
  ioWeight: boolean;
  /** Sessions can be given a network: plugins of CNI and what they stand on are there. */
  network: boolean;
  /** Sessions can be given an allowlist, unless the kernel lacks what it takes. */
  allowlist: boolean;
  /** The kernel counts swap by cgroup. */
  swapAccounting: boolean;
  /** A static init that reaps; undefined when none was found. */
  initPath: string | undefined;
}

/** Of a release as uname(2) has it. */
export function isKernelAtLeast(release: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = release.split('.').map(Number.parseFloat);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/**
 * An ordinary Linux of today, to plan for where there is none to look at: cgroup v2, every feature of the kernel, no
 * AppArmor and no bfq.
 */
export function assumeLinux(arch: string, cpus: number, memoryBytes: number): HostFacts {
  return {
    cgroup: 'v2',
    cpus,
    memoryBytes,
    kernel: '6.1.0',
    arch,
    seccomp: true,
    apparmor: false,
    userns: true,
    idmap: true,
    ioWeight: false,
    network: true,
    allowlist: true,
    swapAccounting: true,
    initPath: '/usr/bin/catatonit',
  };
}
