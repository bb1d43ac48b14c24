/*
 * The host's end of a channel over stdio: a process of its own, so that the session's streams outlive whoever made it.
 *
 *   supervisor --relay -- DIRECTORY
 *
 * Returns when it listens, or another does. It ends with the session's streams, or when they are removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "supervisor.h"

#define NOBODY 65534
#define LOOK_SECONDS 10
#define LAST_SECONDS 5

static int lock_fd, log_fds[2];
static struct watch listening, timer;
static bool is_over;

static _Noreturn void give_up(const char *what) {
  dprintf(2, "relay: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static int open_or_give_up(const char *name, int flags) {
  int fd = open(name, flags | O_CLOEXEC | O_NONBLOCK, 0600);
  if (fd < 0) give_up(name);
  return fd;
}

static void on_connect(void *subject, uint32_t events) {
  (void)subject, (void)events;
  int fd = accept4(listening.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  uint32_t number = channel_number();
  if (fd < 0) return;
  if (number == 0 || is_over) close(fd);
  else channel_add(fd, number, false);
}

static void fill_reset(struct reset *reset) {
  for (int log = 0; log < 2; log++) {
    struct stat status;
    reset->written[log] = log_fds[log] >= 0 && fstat(log_fds[log], &status) == 0 ? (uint64_t)status.st_size : 0;
  }
}

/* Said before anyone hears that the connections have ended, so that it is known why. */
static void on_ended(void) {
  is_over = true;
  if (pwrite(lock_fd, "ended", 5, 0) != 5 || !channel_waits()) _exit(0);
  alarm(LAST_SECONDS);
}

/* Its session may be removed without having begun. */
static void on_timer(void *subject, uint32_t events) {
  (void)subject, (void)events;
  uint64_t times;
  struct stat status;
  if (read(timer.fd, &times, sizeof times) > 0 && fstat(lock_fd, &status) == 0 && status.st_nlink == 0) _exit(0);
}

bool relay_is_over(void) { return is_over && !channel_waits(); }

static void listen_here(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "supervisor.new"};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || (unlink(address.sun_path) != 0 && errno != ENOENT)) give_up("socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 64) != 0) give_up("socket");
  if (rename(address.sun_path, "supervisor.sock") != 0) give_up("socket");
  watch_add(&listening, fd, EPOLLIN, on_connect, NULL);
}

/* What comes is a guest's word: whoever reads it has nothing that a guest could want. */
static void drop_privileges(void) {
  prctl(PR_SET_DUMPABLE, 0);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("privileges");
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) give_up("privileges");
  prctl(PR_SET_DUMPABLE, 0);
}

void relay_open(const char *directory) {
  static const char *logs[] = {"stdout.log", "stderr.log"};
  if (chdir(directory) != 0) give_up(directory);
  lock_fd = open_or_give_up("relay", O_RDWR | O_CREAT);
  if (flock(lock_fd, LOCK_EX | LOCK_NB) != 0) _exit(errno == EWOULDBLOCK ? 0 : 125);
  if (ftruncate(lock_fd, 0) != 0) give_up("relay");
  int input = open_or_give_up("channel.out", O_RDONLY);
  /* For reading too, so that it can be opened before anyone reads. */
  int output = open_or_give_up("channel.in", O_RDWR);
  for (int log = 0; log < 2; log++) log_fds[log] = open(logs[log], O_WRONLY | O_APPEND | O_CLOEXEC);
  listen_here();
  drop_privileges();
  pid_t pid = fork();
  if (pid < 0) give_up("fork");
  if (pid > 0) _exit(0);
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (chdir("/") != 0 || null < 0) _exit(125);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (null > 2) close(null);
  watch_add(&timer, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), EPOLLIN, on_timer, NULL);
  struct itimerspec every = {{LOOK_SECONDS, 0}, {LOOK_SECONDS, 0}};
  timerfd_settime(timer.fd, 0, &every, NULL);
  for (uint32_t log = 0; log < 2; log++)
    if (log_fds[log] >= 0) channel_add(log_fds[log], LINE_LOG + log, true);
  channel_open(input, output, &(struct channel_end){.most = PIPE_BUF, .greet = fill_reset, .ended = on_ended});
}
