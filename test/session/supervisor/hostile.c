// Attempts upon the first process of a session, from inside: a line each, `NAME N` with the errno, 0 where it succeeded.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void tell(const char *name, long result) { printf("%s %d\n", name, result < 0 ? errno : 0); }

static void look(const char *name, const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC);
  tell(name, fd);
  if (fd >= 0) close(fd);
}

int main(void) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)main, 1};
  int init = (int)syscall(SYS_pidfd_open, 1, 0);
  tell("attach", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
  tell("seize", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
  tell("memory", process_vm_readv(1, &here, 1, &there, 1, 0));
  /* Its first descriptors: what it was started with, its epoll and its socket. */
  for (int fd = 0; fd < 8; fd++) {
    char name[32];
    snprintf(name, sizeof name, "descriptor%d", fd);
    tell(name, syscall(SYS_pidfd_getfd, init, fd, 0));
  }
  look("mem", "/proc/1/mem", O_RDWR);
  look("maps", "/proc/1/maps", O_RDONLY);
  look("environ", "/proc/1/environ", O_RDONLY);
  look("fd", "/proc/1/fd/0", O_RDWR);
  look("exe", "/proc/1/exe", O_RDONLY);
  look("root", "/proc/1/root", O_RDONLY);
  look("write", "/dev/cadre-init", O_WRONLY);
  tell("unlink", unlink("/dev/cadre-init"));
  tell("rename", rename("/dev/cadre-init", "/dev/other"));
  tell("mount", mount("/bin/sh", "/dev/cadre-init", NULL, MS_BIND, NULL));
  tell("umount", umount2("/dev/cadre-init", MNT_DETACH));
  /* The kernel takes them all and does nothing, or refuses: whether it lives on is asked outside. */
  for (int number = 1; number < 65; number++)
    if (number != SIGTERM && number != SIGINT) kill(1, number);
  return 0;
}
