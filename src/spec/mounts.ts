import type { ResolvedPolicy } from '../policy/types.js';
import type { HostFacts } from './host.js';
import type { OciMount } from './types.js';

/** Where the session's init is seen inside: on the tmpfs of /dev, so that the root file system stays the image's. */
export const INIT_PATH = '/dev/cadre-init';

/** Where the supervisor makes its socket; nothing is there any more once the session runs. */
export const DOOR_PATH = '/dev/cadre';

/** In the place of that: the supervisor speaks over the streams that it was started with. */
export const STDIO = '--stdio';

/** Each of these counts as memory of the session; without a limit of memory they are bounded all the same. */
const TMPFS_BYTES = 64 * 1024 * 1024;

/** A file or directory of the host that is seen inside. */
export interface Bind {
  /** Resolved: no part of it is a symbolic link. */
  source: string;
  target: string;
  readOnly: boolean;
  /** Other file systems are mounted below the source; what holds for it is made to hold for them. */
  hasSubmounts: boolean;
  /** `ro` and `noexec` of the mount that the source is on: whoever has a user namespace cannot take them away. */
  kept?: readonly string[];
}

/** Standard mounts first, then what was asked for: what is mounted above another comes before it, and hides nothing. */
export function buildMounts(policy: ResolvedPolicy, initPath: string, binds: readonly Bind[] = []): OciMount[] {
  const tmpfs = policy.mounts
    .filter(({ type }) => type === 'tmpfs')
    .map(({ target, path, readOnly, sizeBytes = TMPFS_BYTES }) => {
      const options = ['nosuid', 'nodev', 'mode=1777', `size=${sizeBytes}`, readOnly ? 'ro' : 'rw'];
      return mount(target ?? path, 'tmpfs', 'tmpfs', ...options);
    });
  const asked = [...tmpfs, ...binds.map(buildBind)];
  const countParts = ({ destination }: OciMount) => destination.split('/').length;
  return [
    mount('/proc', 'proc', 'proc', 'nosuid', 'noexec', 'nodev'),
    mount('/dev', 'tmpfs', 'tmpfs', 'nosuid', 'noexec', 'strictatime', 'mode=755', 'size=65536k'),
    mount('/dev/pts', 'devpts', 'devpts', 'nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'),
    mount('/dev/shm', 'tmpfs', 'shm', 'nosuid', 'noexec', 'nodev', 'mode=1777', `size=${TMPFS_BYTES}`),
    mount('/dev/mqueue', 'mqueue', 'mqueue', 'nosuid', 'noexec', 'nodev'),
    mount('/sys', 'sysfs', 'sysfs', 'nosuid', 'noexec', 'nodev', 'ro'),
    mount('/sys/fs/cgroup', 'cgroup', 'cgroup', 'nosuid', 'noexec', 'nodev', 'relatime', 'ro'),
    mount('/run', 'tmpfs', 'tmpfs', 'nosuid', 'nodev', 'mode=755', `size=${TMPFS_BYTES}`),
    ...(policy.readOnlyRootfs
      ? [mount('/tmp', 'tmpfs', 'tmpfs', 'nosuid', 'nodev', 'mode=1777', `size=${TMPFS_BYTES}`)]
      : []),
    ...asked.sort((one, other) => countParts(one) - countParts(other)),
    buildInitMount(initPath),
  ];
}

export function buildInitMount(path: string): OciMount {
  return mount(INIT_PATH, 'bind', path, 'bind', 'ro', 'nosuid', 'nodev');
}

/**
 * Private, so that what is mounted on either side later is not seen on the other. The recursive options (runtime-spec,
 * config.md, "Linux mount options") go with those that every runc knows: one that does not know them makes the top
 * read-only, and what is below is found out before the session starts.
 */
export function buildBind({ source, target, readOnly, hasSubmounts, kept = [] }: Bind): OciMount {
  const isReadOnly = readOnly || kept.includes('ro');
  const options = ['nosuid', 'nodev', ...kept.filter((word) => word !== 'ro'), isReadOnly ? 'ro' : 'rw'];
  if (!hasSubmounts) return mount(target, 'bind', source, 'bind', 'rprivate', ...options);
  const recursive = ['rnosuid', 'rnodev', ...(readOnly ? ['rro'] : [])];
  return mount(target, 'bind', source, 'rbind', 'rprivate', ...options, ...recursive);
}

function mount(destination: string, type: string, source: string, ...options: string[]): OciMount {
  return { destination, type, source, options };
}

/** Hidden from the session: they tell of the host or of its other guests. */
export function listMaskedPaths(cpus: number): string[] {
  return [
    '/proc/acpi',
    '/proc/asound',
    '/proc/interrupts',
    '/proc/kallsyms',
    '/proc/kcore',
    '/proc/keys',
    // Root inside is root to them without a user namespace: which pages the host and its other guests use.
    '/proc/kpagecgroup',
    '/proc/kpagecount',
    '/proc/kpageflags',
    '/proc/latency_stats',
    '/proc/sched_debug',
    '/proc/scsi',
    '/proc/timer_list',
    '/proc/timer_stats',
    '/proc/vmallocinfo',
    // Serial numbers of the host.
    '/sys/devices/virtual/dmi',
    '/sys/devices/virtual/powercap',
    '/sys/firmware',
    // Heat and power of the processor tell what its other guests compute (CVE-2020-8694).
    ...Array.from({ length: cpus }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`),
  ];
}

/** Seen and not written. */
export function listReadonlyPaths(cgroup: HostFacts['cgroup']): string[] {
  return [
    '/proc/bus',
    '/proc/fs',
    '/proc/irq',
    '/proc/sys',
    '/proc/sysrq-trigger',
    // runc keeps the hierarchies of v1 in a tmpfs that has no size and stays writable, whatever its mount says.
    ...(cgroup === 'v2' ? [] : ['/sys/fs/cgroup']),
  ];
}
