#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct job *jobs;
static size_t count_of_jobs;

/* What the reaper tells: when the command runs (or cannot), and when it has ended. A command tells its birth itself. */
struct report {
  uint32_t what; /* BORN, STARTED, FAILED, EXITED, or DONE: nothing is left of it */
  uint32_t value, more;
};

#define BORN 0u
#define DONE 1u
#define LOOK_MS 100

/* What the new process needs, all of it made before the fork. */
struct plan {
  const char *cwd;
  char **arguments, **variables;
  int input, output, error, status;
  bool terminal, files, at_once;
};

/* Those that stand between, until they are reaped; and whether what one of them left behind has come to us. */
static pid_t reapers[MAX_JOBS];
static size_t count_of_reapers;
static bool has_strays;

/* Shared with the vfork'ed child, which says in it why the command could not be run. */
static volatile struct {
  int error;
  enum stage stage;
} failure;

static void tell(int fd, uint32_t what, uint32_t value, uint32_t more) {
  struct report report = {what, value, more};
  /* As small as PIPE_BUF and the pipe empty: written whole or, when nobody listens any more, not at all. */
  if (write(fd, &report, sizeof report) < 0) return;
}

/* A kernel before 5.9 has no close_range(2); what stays open would keep a stream from ending. */
static void close_from(unsigned first) {
  if (syscall(SYS_close_range, first, ~0u, 0u) == 0) return;
  for (int fd = (int)first; fd < (int)sysconf(_SC_OPEN_MAX); fd++) close(fd);
}

static _Noreturn void become(const struct plan *plan, pid_t reaper) {
  /* Its reaper stands still until it runs (vfork(2)), and does not when it serves files. */
  if (!plan->files) tell(plan->status, BORN, (uint32_t)getpid(), (uint32_t)reaper);
  setsid();
  if (plan->terminal) ioctl(plan->input, TIOCSCTTY, 0);
  dup2(plan->input, 0);
  dup2(plan->output, 1);
  dup2(plan->error, 2);
  if (plan->files) {
    close_from(3);
    _exit(serve_files(plan->arguments));
  }
  failure.stage = STAGE_CWD;
  if (chdir(plan->cwd) == 0) {
    failure.stage = STAGE_RUN;
    failure.error = run_command(plan->arguments, plan->variables);
  } else failure.error = errno;
  _exit(127);
}

/*
 * Stands between the supervisor and one command, so that whatever the command leaves behind is its child and no one
 * else's (PR_SET_CHILD_SUBREAPER, prctl(2)), and ends with the last of them.
 */
static _Noreturn void reap(const struct plan *plan) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  failure.error = 0;
  pid_t own = getpid(), pid = plan->files ? fork() : vfork();
  if (pid == 0) become(plan, own);
  if (pid > 0 && plan->files) tell(plan->status, BORN, (uint32_t)pid, (uint32_t)own);
  if (pid < 0) tell(plan->status, FAILED, (uint32_t)errno, STAGE_FORK);
  else if (failure.error != 0) tell(plan->status, FAILED, (uint32_t)failure.error, failure.stage);
  else tell(plan->status, STARTED, 0, 0);
  int status = dup2(plan->status, 3);
  for (int fd = 0; fd < 3; fd++) close(fd);
  close_from(4);
  for (;;) {
    siginfo_t end;
    if (waitid(P_ALL, 0, &end, WEXITED | WNOWAIT) != 0) {
      if (errno == ECHILD) _exit(0);
      continue;
    }
    /* Told first, reaped then: when we are killed between the two it is the supervisor that reaps, and knows. */
    if (end.si_pid == pid && failure.error == 0) {
      uint32_t code = end.si_code == CLD_EXITED ? (uint32_t)end.si_status : 128u + (uint32_t)end.si_status;
      tell(status, EXITED, code, 0);
      /* Its number stays its own until the host has had the time to look at it, or needs it no more. */
      struct pollfd released = {.fd = status};
      if (plan->at_once) poll(&released, 1, LOOK_MS);
      waitpid(pid, NULL, 0);
      if (plan->at_once || waitid(P_ALL, 0, &end, WEXITED | WNOHANG | WNOWAIT) == 0) continue;
      /* Our own end is work that the host need not wait behind. */
      tell(status, DONE, 0, 0);
      poll(&released, 1, LOOK_MS);
      _exit(0);
    }
    waitpid(end.si_pid, NULL, 0);
  }
}

/* The strings that follow each other in a payload; NULL when they are not all there or are not `count`. */
static char **list_strings(const char **at, const char *end, uint32_t count) {
  /* Each has at least its NUL, so that the peer's word costs no more memory than it sent. */
  if (count > (size_t)(end - *at)) return NULL;
  char **list = malloc((count + 2u) * sizeof *list); /* the end, and room for one more */
  if (list == NULL) return NULL;
  for (uint32_t index = 0; index < count; index++) {
    const char *stop = memchr(*at, '\0', (size_t)(end - *at));
    if (stop == NULL) return free(list), NULL;
    list[index] = (char *)*at;
    *at = stop + 1;
  }
  list[count] = NULL;
  return list;
}

/* As runc does for what it starts: a command that is told no HOME has that of the session's user, which is ours. */
static void add_home(char **variables) {
  static char home[4096];
  while (*variables != NULL)
    if (strncmp(*variables++, "HOME=", 5) == 0) return;
  const char *own = getenv("HOME");
  if (own == NULL || snprintf(home, sizeof home, "HOME=%s", own) >= (int)sizeof home) return;
  variables[0] = home;
  variables[1] = NULL;
}

static void close_all(const int *fds, int count) {
  for (int index = 0; index < count; index++)
    if (fds[index] >= 0) close(fds[index]);
}

/* The ends of its streams: [0] input, [1] output, [2] error, [3] status; the command's, then ours. -1: there is none. */
static bool open_streams(const struct command *command, int theirs[4], int ours[4]) {
  int pair[2];
  for (int index = 0; index < 4; index++) theirs[index] = ours[index] = -1;
  if (pipe2(pair, O_CLOEXEC) != 0) return false;
  ours[3] = pair[0], theirs[3] = pair[1];
  /* What epoll(7) tells of it may have been read by job_reaped before. */
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  if (command->flags & WITH_TERMINAL) {
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0) return false;
    ours[1] = master;
    struct winsize size = {.ws_row = command->rows, .ws_col = command->columns};
    char name[64];
    if (unlockpt(master) != 0 || ptsname_r(master, name, sizeof name) != 0) return false;
    if ((theirs[0] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) return false;
    ioctl(master, TIOCSWINSZ, &size);
    return (ours[0] = fcntl(master, F_DUPFD_CLOEXEC, 0)) >= 0;
  }
  for (int index = 1; index < 3; index++) {
    if (pipe2(pair, O_CLOEXEC) != 0) return false;
    ours[index] = pair[0], theirs[index] = pair[1];
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
  }
  if (!(command->flags & WITH_INPUT)) return (theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;
  if (pipe2(pair, O_CLOEXEC) != 0) return false;
  theirs[0] = pair[0], ours[0] = pair[1];
  fcntl(pair[1], F_SETFL, O_NONBLOCK);
  return true;
}

static void on_status(void *subject, uint32_t events);
static void on_output(struct job *job, int source);
static void on_stdout(void *subject, uint32_t events) { (void)events, on_output(subject, 0); }
static void on_stderr(void *subject, uint32_t events) { (void)events, on_output(subject, 1); }
static void on_input(void *subject, uint32_t events);

static struct job *add_job(const char *name, const struct command *command, const int ours[4]) {
  struct job *job = calloc(1, sizeof *job);
  if (job == NULL || (job->name = strdup(name)) == NULL) return free(job), NULL;
  job->terminal = (command->flags & WITH_TERMINAL) != 0;
  job->files = (command->flags & WITH_FILES) != 0;
  job->at_once = (command->flags & AT_ONCE) != 0;
  job->input_ended = ours[0] < 0;
  watch_add(&job->status, ours[3], EPOLLIN, on_status, job);
  watch_add(&job->output[0], ours[1], EPOLLIN, on_stdout, job);
  watch_add(&job->output[1], ours[2], EPOLLIN, on_stderr, job);
  watch_add(&job->input, ours[0], 0, on_input, job);
  job->next = jobs;
  jobs = job;
  count_of_jobs++;
  return job;
}

static struct job *start(const struct command *command, char **names, char **arguments, char **variables) {
  int theirs[4], ours[4], kept = 0;
  struct job *job = NULL;
  if (open_streams(command, theirs, ours)) {
    bool terminal = (command->flags & WITH_TERMINAL) != 0;
    struct plan plan = {names[1], arguments, variables, theirs[0], terminal ? theirs[0] : theirs[1],
                        terminal ? theirs[0] : theirs[2], theirs[3], terminal,
                        (command->flags & WITH_FILES) != 0, (command->flags & AT_ONCE) != 0};
    pid_t reaper = fork();
    if (reaper == 0) reap(&plan);
    if (reaper > 0 && (job = add_job(names[0], command, ours)) == NULL) kill(reaper, SIGKILL);
    if (job != NULL) job->alone = count_of_reapers == 0 && !has_strays;
    if (reaper > 0 && count_of_reapers < MAX_JOBS) reapers[count_of_reapers++] = reaper;
    else if (reaper > 0) has_strays = true;
  }
  kept = errno;
  close_all(theirs, 4);
  if (job == NULL) close_all(ours, 4);
  errno = kept;
  return job;
}

struct job *job_start(const char *payload, size_t size, enum stage *stage) {
  struct command command;
  *stage = STAGE_FORK;
  errno = EINVAL;
  if (size < sizeof command) return NULL;
  memcpy(&command, payload, sizeof command);
  const char *at = payload + sizeof command, *end = payload + size;
  if (count_of_jobs >= MAX_JOBS) return errno = EAGAIN, NULL;
  reap_children();
  char **names = list_strings(&at, end, 2);
  char **arguments = names == NULL ? NULL : list_strings(&at, end, command.arguments);
  char **variables = arguments == NULL ? NULL : list_strings(&at, end, command.variables);
  struct job *job = NULL;
  errno = EINVAL;
  if (variables != NULL && at == end && command.arguments > 0) {
    if (job_find_name(names[0], strlen(names[0])) != NULL) *stage = STAGE_NAME, errno = EEXIST;
    else {
      add_home(variables);
      job = start(&command, names, arguments, variables);
    }
  }
  int kept = errno;
  free(names), free(arguments), free(variables);
  errno = kept;
  return job;
}

struct job *job_find(const struct connection *owner, uint32_t stream) {
  for (struct job *job = jobs; job != NULL; job = job->next)
    if (job->owner == owner && job->stream == stream) return job;
  return NULL;
}

struct job *job_find_name(const char *name, size_t size) {
  for (struct job *job = jobs; job != NULL; job = job->next)
    if (job->name != NULL && strlen(job->name) == size && memcmp(job->name, name, size) == 0) return job;
  return NULL;
}

static bool forget_reaper(pid_t pid) {
  for (size_t index = 0; index < count_of_reapers; index++) {
    if (reapers[index] != pid) continue;
    reapers[index] = reapers[--count_of_reapers];
    return true;
  }
  return false;
}

static void pump(struct job *job) {
  if (job->owner != NULL) connection_pump(job->owner);
}

static void set_exit(struct job *job, uint32_t code) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  job->exited = true;
  job->code = code;
  job->when = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
  pump(job);
}

void jobs_reaped(void) { has_strays = false; }

void job_reaped(pid_t pid, int state) {
  /* One that was killed leaves us what it stood for. */
  if (forget_reaper(pid) && state != 0) has_strays = true;
  for (struct job *job = jobs, *next; job != NULL; job = next) {
    next = job->next;
    /* It may have been born and have ended since we last heard of it. */
    struct pollfd told = {.fd = job->status.fd, .events = POLLIN};
    if (job->pid == 0 && poll(&told, 1, 0) > 0 && told.revents & POLLIN) on_status(job, POLLIN);
    if (job->reaper == pid) job->end_of_reaper = WIFEXITED(state) ? OF_ITSELF : KILLED_INSIDE;
    if (job->pid == pid && !job->exited) {
      uint32_t code = WIFSIGNALED(state) ? 128u + (uint32_t)WTERMSIG(state) : (uint32_t)WEXITSTATUS(state);
      return set_exit(job, code);
    }
  }
}

static void fail(struct job *job, uint32_t error, uint32_t stage) {
  uint32_t why[2] = {error, stage};
  if (job->owner != NULL) connection_tell(job->owner, FAILED, job->stream, why, sizeof why);
  job_release(job);
}

static void begun(struct job *job) {
  job->started = true;
  connection_started(job);
  pump(job);
}

static void on_status(void *subject, uint32_t events) {
  (void)events;
  struct job *job = subject;
  struct report report;
  ssize_t size = read(job->status.fd, &report, sizeof report);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size != (ssize_t)sizeof report) {
    watch_close(&job->status);
    /* Something inside killed the reaper: its command is our child now, unless it had ended before without a word. */
    if (job->pid == 0) return fail(job, ECHILD, STAGE_FORK);
    if (!job->started) begun(job);
    if (job->exited) return;
    reap_children();
    if (!job->exited && kill(job->pid, 0) != 0) set_exit(job, LOST_CODE);
    return;
  }
  if (report.what == EXITED) return set_exit(job, report.value);
  if (report.what == FAILED) return fail(job, report.value, report.more);
  if (report.what == STARTED) return begun(job);
  if (report.what == DONE) return (void)forget_reaper(job->reaper);
  job->pid = (pid_t)report.value;
  job->reaper = (pid_t)report.more;
}

static void on_output(struct job *job, int source) {
  struct watch *watch = &job->output[source];
  struct iovec parts[2];
  int count = ring_room(&job->kept[source], WINDOW, parts);
  if (count == 0) return watch_set(watch, 0);
  ssize_t size = readv(watch->fd, parts, count);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  /* EIO: the last process has closed the terminal (pty(7)). */
  if (size <= 0) watch_close(watch);
  else job->kept[source].end += (uint64_t)size;
  if (size >= (ssize_t)MAX_DATA / 2 && !job->wide) {
    job->wide = true;
    fcntl(watch->fd, F_SETPIPE_SZ, WINDOW);
  }
  pump(job);
}

void job_taken(struct job *job) {
  for (int source = 0; source < 2; source++)
    if (job->output[source].fd >= 0) watch_set(&job->output[source], EPOLLIN);
}

/* In steps: it has room for the rest of the window meanwhile, and each would cost it a turn of its loop. */
static void tell_taken(struct job *job, size_t size) {
  job->untold += (uint32_t)size;
  if (job->owner == NULL || job->untold < WINDOW / 4) return;
  connection_tell(job->owner, INPUT_TAKEN, job->stream, &job->untold, sizeof job->untold);
  job->untold = 0;
}

/* Returns how much the command took. */
static size_t write_input(struct job *job, const struct iovec *parts, int count, size_t size) {
  ssize_t taken = writev(job->input.fd, parts, count);
  if (taken < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  /* Nobody reads it any more: it is gone, as it would be in a pipe to it, and the host's writer goes on. */
  if (taken < 0) watch_close(&job->input);
  else size = (size_t)taken;
  tell_taken(job, size);
  return size;
}

static void on_input(void *subject, uint32_t events) {
  (void)events;
  struct job *job = subject;
  struct iovec parts[2];
  int count;
  size_t waiting = ring_unsent(&job->waiting, WINDOW, parts, &count);
  if (waiting > 0) {
    size_t taken = write_input(job, parts, count, waiting);
    job->waiting.sent += taken;
    ring_take(&job->waiting, taken);
    waiting -= taken;
  }
  if (job->input.fd < 0) return;
  if (waiting == 0 && job->input_ended) watch_close(&job->input);
  else watch_set(&job->input, waiting > 0 ? EPOLLOUT : 0);
}

bool job_input(struct job *job, const char *data, size_t size) {
  size_t waiting = job->waiting.end - job->waiting.base;
  if (waiting + size > WINDOW) return false;
  if (job->input.fd < 0 || job->input_ended) return tell_taken(job, size), true;
  if (waiting == 0) {
    size_t taken = write_input(job, &(struct iovec){(char *)data, size}, 1, size);
    data += taken, size -= taken;
    /* One that is fed much: a pipe of the window's size wakes either end less often. */
    if (size > 0 && job->waiting.size == 0) fcntl(job->input.fd, F_SETPIPE_SZ, WINDOW);
  }
  while (size > 0) {
    struct iovec parts[2];
    if (ring_room(&job->waiting, WINDOW, parts) == 0) return false;
    size_t part = parts[0].iov_len < size ? parts[0].iov_len : size;
    memcpy(parts[0].iov_base, data, part);
    job->waiting.end += part;
    data += part, size -= part;
  }
  on_input(job, 0);
  return true;
}

void job_input_end(struct job *job) {
  job->input_ended = true;
  if (job->input.fd >= 0) on_input(job, 0);
}

void job_resize(struct job *job, uint16_t columns, uint16_t rows) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  if (job->terminal && job->output[0].fd >= 0) ioctl(job->output[0].fd, TIOCSWINSZ, &size);
}

void job_signal(struct job *job, int signal) {
  /* Its reaper has not told of its end, so that its number is still its own, or a zombie's. */
  if (!job->exited && job->pid > 0 && signal > 0 && signal < NSIG) kill(job->pid, signal);
}

void job_leave(struct job *job) {
  if (job->files) return job_release(job);
  job->owner = NULL;
  job->exit_told = job->end_told[0] = job->end_told[1] = false;
  for (int source = 0; source < 2; source++) job->kept[source].sent = job->kept[source].base;
}

void job_release(struct job *job) {
  struct job **link = &jobs;
  while (*link != job) link = &(*link)->next;
  *link = job->next;
  count_of_jobs--;
  /* Nobody waits for it: a long one ends here, one that writes by the end of its input. */
  if (job->files) job_signal(job, SIGTERM);
  watch_close(&job->status);
  watch_close(&job->input);
  for (int source = 0; source < 2; source++) {
    watch_close(&job->output[source]);
    ring_free(&job->kept[source]);
  }
  ring_free(&job->waiting);
  free(job->name);
  free_later(job);
}
