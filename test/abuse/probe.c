// Attempts to leave a session, or to reach what it must not. `probe NAME...` makes each in a process of its own and prints
// a line: `NAME N` with the errno, 0 where it succeeded, or `NAME signal N`. None harms where it does succeed: what could
// be written to is only opened, and the machine is asked for changes that change nothing.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALL(...) ((int)syscall(__VA_ARGS__))
#define NEWTIME 0x80

static int look(const char *path, int flags) { return open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); }

// ENODATA for what is there and empty.
static int content(const char *path) {
  char byte;
  int fd = look(path, O_RDONLY);
  int count = fd < 0 ? -1 : (int)read(fd, &byte, 1);
  if (count == 0) errno = ENODATA;
  return count > 0 ? 0 : -1;
}

static int join(const char *path) {
  int fd = look(path, O_RDONLY);
  return fd < 0 ? -1 : setns(fd, 0);
}

static int join_init(void) {
  int fd = CALL(SYS_pidfd_open, 1, 0);
  return fd < 0 ? -1 : setns(fd, CLONE_NEWNS | CLONE_NEWNET);
}

// The child has nothing to do.
static int branch(unsigned long flags) {
  int pid = CALL(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  return pid < 0 ? -1 : 0;
}

static int node(mode_t kind, unsigned major, unsigned minor) {
  char path[64];
  snprintf(path, sizeof path, "/tmp/node-%d", getpid());
  int made = mknod(path, kind | 0600, makedev(major, minor));
  if (made == 0) unlink(path);
  return made;
}

static int set_time(void) {
  struct timeval now;
  gettimeofday(&now, NULL);
  return settimeofday(&now, NULL);
}

// The first inode of the root file system by its number, as CVE-2014-9357's exploit asks for it.
static int by_handle(void) {
  struct { struct file_handle head; unsigned number[2]; } handle = {{8, 1}, {2, 0}};
  int fd = look("/", O_RDONLY | O_DIRECTORY);
  return open_by_handle_at(fd, &handle.head, O_RDONLY);
}

static int legacy_socket(int family) {
#ifdef __x86_64__
  // socketcall(SYS_SOCKET, { family, SOCK_SEQPACKET, 0 }) of i386: no filter sees its arguments. Static data lies low.
  static unsigned arguments[3];
  int result;
  arguments[0] = family;
  arguments[1] = SOCK_SEQPACKET;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(1), "c"(arguments) : "memory", "r8", "r9", "r10", "r11");
  if (result < 0) errno = -result;
  return result < 0 ? -1 : 0;
#else
  errno = ENOSYS;
  return -1;
#endif
}

// Of a process of the host, whose number the test knows.
static pid_t host_pid(void) { return atoi(getenv("HOST_PID")); }

// Puts a line into the input of whoever reads the terminal next.
static int type_ahead(const char *path) {
  int fd = look(path, O_RDWR);
  return fd < 0 ? -1 : ioctl(fd, TIOCSTI, "x");
}

static int console(void) {
  char subcode = 6; // TIOCL_GETSHIFTSTATE
  int fd = look("/dev/tty", O_RDWR);
  return fd < 0 ? -1 : ioctl(fd, TIOCLINUX, &subcode);
}

static unsigned long area[64];

#define ATTEMPTS(X) \
  X(mount_tmpfs, mount("none", "/tmp", "tmpfs", 0, NULL)) \
  X(mount_proc, mount("none", "/tmp", "proc", 0, NULL)) \
  X(mount_bind, mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL)) \
  X(mount_cgroup, mount("none", "/tmp", "cgroup", 0, "memory")) \
  X(mount_cgroup2, mount("none", "/tmp", "cgroup2", 0, NULL)) \
  X(remount_sys, mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL)) \
  X(remount_proc_sys, mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL)) \
  X(umount_masked, umount2("/proc/kcore", MNT_DETACH)) \
  X(umount_sys, umount2("/sys", MNT_DETACH)) \
  X(open_tree, CALL(SYS_open_tree, AT_FDCWD, "/", 1)) \
  X(move_mount, CALL(SYS_move_mount, AT_FDCWD, "/dev/shm", AT_FDCWD, "/tmp", 0)) \
  X(fsopen, CALL(SYS_fsopen, "tmpfs", 0)) \
  X(mount_setattr, CALL(SYS_mount_setattr, AT_FDCWD, "/sys", 0, area, 32)) \
  X(pivot_root, CALL(SYS_pivot_root, ".", ".")) \
  X(chroot, chroot("/")) \
  X(unshare_mount, unshare(CLONE_NEWNS)) \
  X(unshare_uts, unshare(CLONE_NEWUTS)) \
  X(unshare_ipc, unshare(CLONE_NEWIPC)) \
  X(unshare_net, unshare(CLONE_NEWNET)) \
  X(unshare_pid, unshare(CLONE_NEWPID)) \
  X(unshare_cgroup, unshare(CLONE_NEWCGROUP)) \
  X(unshare_user, unshare(CLONE_NEWUSER)) \
  X(unshare_time, unshare(NEWTIME)) \
  X(clone_user, branch(CLONE_NEWUSER)) \
  X(clone_mount, branch(CLONE_NEWNS)) \
  X(clone3, CALL(SYS_clone3, NULL, 0)) \
  X(setns_mount, join("/proc/1/ns/mnt")) \
  X(setns_net, join("/proc/1/ns/net")) \
  X(setns_init, join_init()) \
  X(ptrace_attach, CALL(SYS_ptrace, 0x4206, 1, 0, 0)) \
  X(ptrace_me, CALL(SYS_ptrace, 0, 0, 0, 0)) \
  X(process_vm_readv, CALL(SYS_process_vm_readv, 1, area, 0, area, 0, 0)) \
  X(pidfd_getfd, CALL(SYS_pidfd_getfd, CALL(SYS_pidfd_open, 1, 0), 0, 0)) \
  X(kcmp, CALL(SYS_kcmp, getpid(), getpid(), 1, 0, 0)) \
  X(limit_init, CALL(SYS_prlimit64, 1, RLIMIT_CORE, area, 0)) \
  X(limit_init_wide, CALL(SYS_prlimit64, 1L << 32 | 1, RLIMIT_CORE, area, 0)) \
  X(signal_host, kill(host_pid(), 0)) \
  X(pidfd_host, CALL(SYS_pidfd_open, host_pid(), 0)) \
  X(socket_raw, socket(AF_INET, SOCK_RAW, 1)) \
  X(socket_raw6, socket(AF_INET6, SOCK_RAW, 58)) \
  X(socket_packet, socket(AF_PACKET, SOCK_RAW, 0)) \
  X(socket_vsock, socket(AF_VSOCK, SOCK_STREAM, 0)) \
  X(socket_alg, socket(AF_ALG, SOCK_SEQPACKET, 0)) \
  X(socket_key, socket(AF_KEY, SOCK_RAW, 2)) \
  X(socket_xdp, socket(AF_XDP, SOCK_RAW, 0)) \
  X(socket_tipc, socket(AF_TIPC, SOCK_STREAM, 0)) \
  X(socket_rds, socket(AF_RDS, SOCK_SEQPACKET, 0)) \
  X(socket_can, socket(AF_CAN, SOCK_RAW, 1)) \
  X(socket_bluetooth, socket(AF_BLUETOOTH, SOCK_RAW, 1)) \
  X(socket_netfilter, socket(AF_NETLINK, SOCK_RAW, 12)) \
  X(socket_xfrm, socket(AF_NETLINK, SOCK_RAW, 6)) \
  X(socket_mptcp, socket(AF_INET, SOCK_STREAM, 262)) \
  X(legacy_alg, legacy_socket(AF_ALG)) \
  X(legacy_vsock, legacy_socket(AF_VSOCK)) \
  X(io_uring, CALL(SYS_io_uring_setup, 1, area)) \
  X(io_setup, CALL(SYS_io_setup, 1, area)) \
  X(keyctl, CALL(SYS_keyctl, 0, -3, 0)) \
  X(add_key, CALL(SYS_add_key, "user", "x", "y", 1, -3)) \
  X(request_key, CALL(SYS_request_key, "user", "x", NULL, 0)) \
  X(bpf, CALL(SYS_bpf, 0, area, 0)) \
  X(perf_event_open, CALL(SYS_perf_event_open, area, 0, -1, -1, 0)) \
  X(userfaultfd, CALL(SYS_userfaultfd, 1)) \
  X(kexec_load, CALL(SYS_kexec_load, 0, 1000, NULL, 0)) \
  X(kexec_file_load, CALL(SYS_kexec_file_load, -1, -1, 0, NULL, 0)) \
  X(init_module, CALL(SYS_init_module, area, 0, "")) \
  X(finit_module, CALL(SYS_finit_module, -1, "", 0)) \
  X(delete_module, CALL(SYS_delete_module, "", 0)) \
  X(reboot, CALL(SYS_reboot, 0, 0, 0, NULL)) \
  X(swapon, swapon("/none", 0)) \
  X(settimeofday, set_time()) \
  X(acct, CALL(SYS_acct, "/none")) \
  X(quotactl, CALL(SYS_quotactl, 0, "/none", 0, NULL)) \
  X(syslog, CALL(SYS_syslog, 10, NULL, 0)) \
  X(sethostname, sethostname("", 0)) \
  X(fanotify, CALL(SYS_fanotify_init, 0, 0)) \
  X(by_handle, by_handle()) \
  X(shmget, CALL(SYS_shmget, 0, 4096, 0600)) \
  X(iopl, CALL(SYS_iopl, 3)) \
  X(modify_ldt, CALL(SYS_modify_ldt, 0, area, 0)) \
  X(personality, CALL(SYS_personality, 0x400000)) \
  X(set_mempolicy, CALL(SYS_set_mempolicy, 0, NULL, 0)) \
  X(mknod_disk, node(S_IFBLK, 7, 0)) \
  X(mknod_mem, node(S_IFCHR, 1, 1)) \
  X(device_mem, look("/dev/mem", O_RDONLY)) \
  X(device_kmsg, look("/dev/kmsg", O_RDONLY)) \
  X(device_tun, look("/dev/net/tun", O_RDONLY)) \
  X(planted_mem, look("/tmp/planted-mem", O_RDONLY)) \
  X(planted_kmsg, look("/tmp/planted-kmsg", O_RDONLY)) \
  X(planted_disk, look("/tmp/planted-disk", O_RDONLY)) \
  X(sysrq, look("/proc/sysrq-trigger", O_WRONLY)) \
  X(core_pattern, look("/proc/sys/kernel/core_pattern", O_WRONLY)) \
  X(modprobe_path, look("/proc/sys/kernel/modprobe", O_WRONLY)) \
  X(ip_forward, look("/proc/sys/net/ipv4/ip_forward", O_WRONLY)) \
  X(irq_affinity, look("/proc/irq/default_smp_affinity", O_WRONLY)) \
  X(kcore, content("/proc/kcore")) \
  X(keys, content("/proc/keys")) \
  X(kallsyms, content("/proc/kallsyms")) \
  X(timer_list, content("/proc/timer_list")) \
  X(sys_block, look("/sys/block/loop0/queue/nr_requests", O_WRONLY)) \
  X(cgroup_procs, look("/sys/fs/cgroup/cgroup.procs", O_WRONLY)) \
  X(cgroup_limit, look("/sys/fs/cgroup/memory.max", O_WRONLY)) \
  X(cgroup_mkdir, mkdir("/sys/fs/cgroup/own", 0700)) \
  X(cgroup1_release, look("/sys/fs/cgroup/memory/release_agent", O_WRONLY)) \
  X(cgroup1_notify, look("/sys/fs/cgroup/memory/notify_on_release", O_WRONLY)) \
  X(cgroup1_limit, look("/sys/fs/cgroup/memory/memory.limit_in_bytes", O_WRONLY)) \
  X(cgroup1_procs, look("/sys/fs/cgroup/pids/cgroup.procs", O_WRONLY)) \
  X(cgroup1_devices, look("/sys/fs/cgroup/devices/devices.allow", O_WRONLY)) \
  X(type_ahead, type_ahead("/dev/tty")) \
  X(console, console())

static int attempt(const char *name) {
#define MAKE(label, expression) \
  if (strcmp(name, #label) == 0) return (expression) < 0 ? errno : 0;
  ATTEMPTS(MAKE)
  return -1;
}

int main(int count, char **names) {
  for (int i = 1; i < count; i++) {
    int status, pid = fork();
    if (pid == 0) {
      int result = attempt(names[i]);
      if (result < 0) fprintf(stderr, "no attempt %s\n", names[i]);
      _exit(result < 0 ? 255 : result);
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) printf("%s signal %d\n", names[i], WTERMSIG(status));
    else printf("%s %d\n", names[i], WEXITSTATUS(status));
  }
}
