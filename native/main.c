/*
 * The first process of a session: starts its command and whatever the host asks for, reaps, forwards signals.
 *
 *   supervisor DIRECTORY|--stdio [-- COMMAND [ARGUMENT...]]
 *
 * DIRECTORY is where the socket is made; the host takes it away from there before anything of the user's runs. With
 * --stdio it speaks over its own stdin and stdout instead, see channel.c; as --relay it is the other end, see relay.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "supervisor.h"

#define EVENTS 64
#define HOLD_MS 1
#define HOLD_ROUNDS 16
#define LAST_SECONDS 5
#define MOST_PIECE (32u * 1024)

static int epoll_fd;
static void *freed[EVENTS * 64];
static size_t count_of_freed;
static char **command;
static pid_t command_pid;
static bool over_stdio;
static int ending = -1; /* the code of a session that only has to be heard out */
static struct watch signals;
extern char **environ;

void watch_add(struct watch *watch, int fd, uint32_t events, void (*ready)(void *, uint32_t), void *subject) {
  *watch = (struct watch){fd, 0, ready, subject};
  if (fd >= 0) watch_set(watch, events);
}

void watch_set(struct watch *watch, uint32_t events) {
  if (watch->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = watch};
  int change = events == 0 ? EPOLL_CTL_DEL : watch->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  epoll_ctl(epoll_fd, change, watch->fd, &event);
  watch->events = events;
}

void watch_close(struct watch *watch) {
  if (watch->fd < 0) return;
  watch_set(watch, 0);
  close(watch->fd);
  watch->fd = -1;
}

static void free_all(void) {
  while (count_of_freed > 0) free(freed[--count_of_freed]);
}

void free_later(void *memory) {
  /* Never seen to be full: one reading frees no more than it has frames. A leak is better than a use after free. */
  if (count_of_freed < sizeof freed / sizeof *freed) freed[count_of_freed++] = memory;
}

pid_t main_pid(void) { return command_pid; }

/* The command's ends of what becomes its logs. */
static bool open_logs(int logs[2]) {
  for (uint32_t log = 0; log < 2; log++) {
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) != 0) return false;
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    logs[log] = pair[1];
    if (!channel_add(pair[0], LINE_LOG + log, true)) return false;
  }
  return true;
}

void main_end(int code) {
  if (!over_stdio) _exit(code);
  ending = code;
  connections_flush();
  channel_drain();
  alarm(LAST_SECONDS);
}

int main_begin(void) {
  static volatile int failure;
  if (command == NULL || command_pid != 0) return EALREADY;
  failure = 0;
  int logs[2] = {-1, -1};
  if (over_stdio && !open_logs(logs)) return errno;
  pid_t pid = vfork();
  if (pid == 0) {
    if (over_stdio) dup2(logs[0], 1), dup2(logs[1], 2);
    /* A group of its own, and in the foreground, so that the terminal's keys reach it and not its supervisor. */
    setpgid(0, 0);
    if (isatty(0)) tcsetpgrp(0, getpid());
    failure = run_command(command, environ);
    _exit(127);
  }
  if (over_stdio) close(logs[0]), close(logs[1]);
  if (pid < 0) return errno;
  if (failure != 0) return failure;
  command_pid = pid;
  return 0;
}

void reap_children(void) {
  int state;
  pid_t pid;
  while ((pid = waitpid(-1, &state, WNOHANG)) > 0) {
    /* The session ends with its command; the kernel ends all the rest (pid_namespaces(7)). */
    if (pid == command_pid) main_end(WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state));
    job_reaped(pid, state);
  }
  if (pid < 0) jobs_reaped();
}

static void on_signal(void *subject, uint32_t events) {
  (void)subject, (void)events;
  struct signalfd_siginfo info;
  while (read(signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGCHLD) reap_children();
    else if (info.ssi_signo == SIGALRM && ending >= 0) _exit(ending);
    /* Our own: SIGPIPE, of a stream that nobody reads any more. It is no word to the command (pipe(7)). */
    else if (info.ssi_pid == (uint32_t)getpid()) continue;
    else if (command_pid > 0) kill(command_pid, (int)info.ssi_signo);
    /* From outside, where the sender has no number here: nothing inside ends a session that only waits. */
    else if (info.ssi_pid == 0 && (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)) _exit(0);
  }
}

static _Noreturn void run_loop(void) {
  for (int rounds = 0;;) {
    struct epoll_event ready[EVENTS];
    int found = epoll_wait(epoll_fd, ready, EVENTS, connections_hold() ? HOLD_MS : -1);
    for (int index = 0; index < found; index++) {
      struct watch *watch = ready[index].data.ptr;
      if (watch->fd >= 0) watch->ready(watch->subject, ready[index].events);
    }
    /* What is told of others keeps nothing waiting for long. */
    enum hold hold = connections_hold();
    if (found <= 0 || hold == HOLD_DUE || (hold == HOLD_MORE && ++rounds > HOLD_ROUNDS)) connections_flush(), rounds = 0;
    free_all();
    if (ending >= 0 && channel_pump()) _exit(ending);
    if (relay_is_over()) _exit(0);
  }
}

/* Nothing that is started here ever has them: their numbers are those of /dev/null. */
static void open_stdio(void) {
  int from = fcntl(0, F_DUPFD_CLOEXEC, 3), to = fcntl(1, F_DUPFD_CLOEXEC, 3), null = open("/dev/null", O_RDWR);
  if (from < 0 || to < 0 || null < 0) _exit(125);
  for (int fd = 0; fd < 3; fd++) dup2(null, fd);
  if (null > 2) close(null);
  fcntl(from, F_SETFL, O_NONBLOCK);
  fcntl(to, F_SETFL, O_NONBLOCK | O_WRONLY);
  channel_open(from, to, &(struct channel_end){.most = MOST_PIECE, .opened = connection_add});
}

int main(int count, char **arguments) {
  if (count < 2 || (count > 2 && (count < 4 || strcmp(arguments[2], "--") != 0))) {
    dprintf(2, "usage: supervisor DIRECTORY|--stdio [-- COMMAND [ARGUMENT...]]\n");
    return 125;
  }
  if ((epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) return 125;
  if (strcmp(arguments[1], "--relay") == 0) {
    if (count != 4) return 125;
    signal(SIGPIPE, SIG_IGN);
    relay_open(arguments[3]);
    run_loop();
  }
  if (count > 2) command = arguments + 3;
  /* Neither ptrace(2) nor /proc/1 for anyone inside who has not the capability to. */
  prctl(PR_SET_DUMPABLE, 0);
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  watch_add(&signals, signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK), EPOLLIN, on_signal, NULL);
  over_stdio = strcmp(arguments[1], "--stdio") == 0;
  if (over_stdio) open_stdio();
  else connections_open(arguments[1]);
  run_loop();
}
