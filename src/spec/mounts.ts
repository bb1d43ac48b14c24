import type { ResolvedPolicy } from '../policy/types.js';
import type { HostFacts } from './host.js';
import type { OciMount } from './types.js';

/** Where the session's init is seen inside: on the tmpfs of /dev, so that the root file system stays the image's. */
export const INIT_PATH = '/dev/cadre-init';

/** Each of these counts as memory of the session; without a limit of memory they are bounded all the same. */
const TMPFS_BYTES = 64 * 1024 * 1024;

export function buildMounts(policy: ResolvedPolicy, initPath: string): OciMount[] {
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
    ...policy.mounts.map(({ target, path, readOnly, sizeBytes = TMPFS_BYTES }) =>
      mount(
        target ?? path,
        'tmpfs',
        'tmpfs',
        'nosuid',
        'nodev',
        'mode=1777',
        `size=${sizeBytes}`,
        readOnly ? 'ro' : 'rw',
      ),
    ),
    mount(INIT_PATH, 'bind', initPath, 'bind', 'ro', 'nosuid', 'nodev'),
  ];
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
