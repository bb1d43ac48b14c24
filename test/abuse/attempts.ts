import { EXECUTOR } from '../support/executor.js';

/** What each attempt of probe.c meets in a session of the default profile and of `strict`. */
export interface Attempt {
  name: string;
  /** Under the default profile. */
  expected: string;
  /** Under `strict`. Defaults to the same. */
  strict?: string;
  /** Where the host has no such file, the answer is that there is none. */
  path?: string;
}

const refuse = (expected: string, names: string): Attempt[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => ({ name, expected }));

const groups = {
  'file systems': refuse(
    'EPERM',
    `mount_tmpfs mount_proc mount_bind mount_cgroup mount_cgroup2 remount_sys remount_proc_sys umount_masked umount_sys
    open_tree move_mount fsopen mount_setattr pivot_root chroot`,
  ),
  namespaces: [
    ...refuse(
      'EPERM',
      `unshare_mount unshare_uts unshare_ipc unshare_net unshare_pid unshare_cgroup unshare_user unshare_time clone_user
      clone_mount setns_init`,
    ),
    // The links of a supervisor, which is not dumpable, cannot even be opened (PR_SET_DUMPABLE, prctl(2)).
    ...refuse(EXECUTOR === 'supervisor' ? 'EACCES' : 'EPERM', 'setns_mount setns_net'),
    // libc then falls back to clone(2), whose flags the filter sees.
    { name: 'clone3', expected: 'ENOSYS' },
  ],
  'other processes': [
    ...refuse('EPERM', 'ptrace_attach ptrace_me process_vm_readv pidfd_getfd kcmp'),
    // The upper half of an argument, which the kernel does not read, hides no pid from the filter.
    ...refuse('EPERM', 'limit_init limit_init_wide'),
    // Those of the host have no number inside.
    ...refuse('ESRCH', 'signal_host pidfd_host'),
  ],
  sockets: [
    ...refuse(
      'EPERM',
      `socket_raw socket_raw6 socket_packet socket_vsock socket_alg socket_key socket_xdp socket_tipc socket_rds socket_can
      socket_bluetooth socket_netfilter socket_xfrm`,
    ),
    { name: 'socket_mptcp', expected: 'ok', strict: 'EPERM' },
    // A call of i386 ends the process.
    ...refuse('signal 31', 'legacy_alg legacy_vsock'),
  ],
  'parts of the kernel': [
    ...refuse(
      'EPERM',
      `io_uring keyctl add_key request_key bpf perf_event_open userfaultfd kexec_load kexec_file_load init_module
      finit_module delete_module reboot swapon settimeofday acct quotactl syslog sethostname fanotify by_handle iopl
      modify_ldt personality set_mempolicy`,
    ),
    { name: 'io_setup', expected: 'ok', strict: 'EPERM' },
    { name: 'shmget', expected: 'ok', strict: 'EPERM' },
  ],
  devices: [
    ...refuse('EPERM', 'mknod_disk mknod_mem'),
    ...refuse('ENOENT', 'device_mem device_kmsg device_tun'),
    // There, as an image may bring them along; no device but the harmless ones can be opened.
    ...refuse('EPERM', 'planted_mem planted_kmsg planted_disk'),
  ],
  '/proc and /sys': [
    { name: 'sysrq', expected: 'EROFS', path: '/proc/sysrq-trigger' },
    { name: 'core_pattern', expected: 'EROFS' },
    { name: 'modprobe_path', expected: 'EROFS', path: '/proc/sys/kernel/modprobe' },
    { name: 'ip_forward', expected: 'EROFS' },
    { name: 'irq_affinity', expected: 'EROFS', path: '/proc/irq/default_smp_affinity' },
    { name: 'kcore', expected: 'ENODATA', path: '/proc/kcore' },
    { name: 'keys', expected: 'ENODATA', path: '/proc/keys' },
    { name: 'kallsyms', expected: 'ENODATA', path: '/proc/kallsyms' },
    { name: 'timer_list', expected: 'ENODATA', path: '/proc/timer_list' },
    { name: 'sys_block', expected: 'EROFS', path: '/sys/block/loop0/queue/nr_requests' },
  ],
  'control groups': [
    { name: 'cgroup_mkdir', expected: 'EROFS' },
    { name: 'cgroup_procs', expected: 'EROFS', path: '/sys/fs/cgroup/cgroup.controllers' },
    { name: 'cgroup_limit', expected: 'EROFS', path: '/sys/fs/cgroup/cgroup.controllers' },
    // release_agent, by which a program of the host's was started, is in the root of a hierarchy alone.
    { name: 'cgroup1_release', expected: 'ENOENT' },
    ...['cgroup1_notify', 'cgroup1_limit'].map((name) => ({ name, expected: 'EROFS', path: '/sys/fs/cgroup/memory' })),
    { name: 'cgroup1_procs', expected: 'EROFS', path: '/sys/fs/cgroup/pids' },
    { name: 'cgroup1_devices', expected: 'EROFS', path: '/sys/fs/cgroup/devices' },
  ],
  // Without a terminal there is none to type into; with one see the test of it.
  terminals: refuse('ENXIO', 'type_ahead console'),
} satisfies Record<string, Attempt[]>;

export const attemptGroups: [group: string, attempts: Attempt[]][] = Object.entries(groups);
