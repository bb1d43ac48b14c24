// System calls that every program of a session may make (syscalls(2)), by what they are for. A name that the
// processor or libseccomp does not have is passed over by runc.

const files = `
  access cachestat chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
  fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
  fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr ioctl lchown lgetxattr link linkat listxattr
  llistxattr lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2
  pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr rename
  renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee
  truncate umask unlink unlinkat utime utimensat utimes vmsplice write writev`;

const waiting = `
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
  inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup
  io_submit poll ppoll pselect6 select signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime`;

const memory = `
  brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync munlock
  munlockall munmap pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease`;

const processes = `
  arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake
  get_robust_list getcpu getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set
  kill landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl
  restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
  rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
  seccomp set_robust_list set_tid_address setpgid setpriority setrlimit setsid sigaltstack tgkill tkill uname vfork wait4
  waitid`;

const users = `
  getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid setresgid
  setresuid setreuid setuid`;

const time = `
  alarm clock_getres clock_gettime clock_nanosleep getitimer getrandom gettimeofday nanosleep setitimer sysinfo time
  timer_create timer_delete timer_getoverrun timer_gettime timer_settime times`;

const messages = `
  accept accept4 bind connect getpeername getsockname getsockopt listen mq_getsetattr mq_notify mq_open mq_timedreceive
  mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd recvfrom recvmmsg recvmsg semctl semget semop semtimedop sendmmsg
  sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown`;

// Not made by programs: the kernel's own way back from a function that the host traces, at which a refusal kills.
const tracing = 'uretprobe uprobe';

export const allowed: string[] = [files, waiting, memory, processes, users, time, messages, tracing].flatMap(split);

/**
 * What `strict` leaves out of them: System V and POSIX message queues, semaphores and shared memory, the kernel's old
 * asynchronous I/O, special files, pages given to pipes, file handles, memory hidden from the kernel, other processes'
 * memory. Little of today's software calls them, and all have had holes of their own.
 */
const rarelyMeant = new Set(
  split(`
    io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit memfd_secret mknod mknodat mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd name_to_handle_at process_madvise
    process_mrelease semctl semget semop semtimedop shmat shmctl shmdt shmget vmsplice`),
);

export const strictlyAllowed: string[] = allowed.filter((name) => !rarelyMeant.has(name));

/**
 * Calls that a capability is for (capabilities(7)): without it the kernel refuses most of them by itself, and the filter
 * keeps what is left of their code out of reach. io_uring, keyrings and userfaultfd are for none: they stay closed.
 */
export const openedBy: Readonly<Record<string, readonly string[]>> = {
  CAP_BPF: ['bpf'],
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_PERFMON: ['perf_event_open'],
  CAP_SYSLOG: ['syslog'],
  CAP_SYS_ADMIN: split(`
    bpf fanotify_init fanotify_mark fsconfig fsmount fsopen fspick listmount mount mount_setattr move_mount open_tree
    perf_event_open pivot_root quotactl quotactl_fd setdomainname sethostname setns statmount swapoff swapon syslog umount2
    unshare`),
  CAP_SYS_BOOT: split('kexec_file_load kexec_load reboot'),
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: split('delete_module finit_module init_module'),
  CAP_SYS_NICE: split('get_mempolicy mbind migrate_pages move_pages set_mempolicy set_mempolicy_home_node'),
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: split('kcmp pidfd_getfd process_vm_readv process_vm_writev ptrace'),
  CAP_SYS_RAWIO: split('ioperm iopl'),
  CAP_SYS_TIME: split('adjtimex clock_adjtime clock_settime settimeofday'),
  CAP_SYS_TTY_CONFIG: ['vhangup'],
};

function split(list: string): string[] {
  return list.trim().split(/\s+/);
}
