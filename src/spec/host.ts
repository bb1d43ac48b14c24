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
