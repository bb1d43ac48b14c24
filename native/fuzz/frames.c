/*
 * Feeds the supervisor's reader of frames with what no host would send, in one process and without any command: `fork` is
 * a number, and what the command and its reaper would write is written here. Built with sanitizers; see scripts/fuzz.sh.
 *
 *   frames SECONDS [SEED]
 *
 * Ends with 1, or as the sanitizers end it, when it crashed, hung, answered with what is no frame, or kept memory or
 * descriptors.
 */
#define main supervisor_main
#include "../main.c"
#undef main
#include "../connection.c"

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <time.h>

#define LONGEST 8192u
#define ENDS 64
#define HANG_SECONDS 20

/* Of the address sanitizer, which not every compiler brings a header for. */
size_t __sanitizer_get_current_allocated_bytes(void);

/* What the harness holds of the pipes that were made: the sides of commands and reapers. */
static int ends[ENDS];
static size_t count_of_ends;
static uint64_t state;
static char seeds[64][LONGEST];
static size_t sizes[64], count_of_seeds;
static char input[2 * LONGEST];

static uint64_t next(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

static uint32_t pick(uint32_t limit) { return (uint32_t)(next() % limit); }

/* In the place of those that job.c calls; see -D in scripts/fuzz.sh. */
pid_t fuzz_fork(void) { return 1 << 20; }
int fuzz_kill(pid_t pid, int signal) { return (void)pid, (void)signal, 0; }

int fuzz_pipe2(int pair[2], int flags) {
  /* Of streams the write side is the command's, of its input the read side. */
  if (pick(50) == 0) return errno = EMFILE, -1;
  if (syscall(SYS_pipe2, pair, flags) != 0) return -1;
  for (int side = 0; side < 2; side++)
    if (count_of_ends < ENDS) {
      int copy = fcntl(pair[side], F_DUPFD_CLOEXEC, 0);
      fcntl(copy, F_SETFL, O_NONBLOCK);
      ends[count_of_ends++] = copy;
    }
  return 0;
}

static _Noreturn void give_in(const char *what) {
  fprintf(stderr, "fuzz: %s (seed %llu)\n", what, (unsigned long long)state);
  abort();
}

static void on_alarm(int number) {
  (void)number;
  give_in("it hangs");
}

static uint32_t choose_number(void) {
  static const uint32_t odd[] = {0, 1, 2, 3, 4, 255, 4096, MAX_DATA - 1, MAX_DATA, MAX_DATA + 1, MAX_COMMAND,
                                 WINDOW, WINDOW + 1, 0x7fffffff, 0x80000000, 0xffffffff};
  return pick(4) == 0 ? (uint32_t)next() : odd[pick(sizeof odd / sizeof *odd)];
}

/* A frame that is mostly right, so that what lies behind the first checks is reached. */
static size_t write_frame(char *at, uint16_t type, uint32_t stream) {
  char *data = at + sizeof(struct frame);
  uint32_t size = 0;
  if (type == HELLO) {
    uint32_t magic = MAGIC;
    uint16_t versions[2] = {1, pick(8) == 0 ? (uint16_t)next() : VERSION};
    memcpy(data, &magic, 4), memcpy(data + 4, versions, 4), size = 8;
  } else if (type == EXEC) {
    struct command command = {pick(16), 80, 24, 1 + pick(3), pick(3)};
    if (pick(8) == 0) command.arguments = choose_number();
    if (pick(8) == 0) command.variables = choose_number();
    memcpy(data, &command, sizeof command), size = sizeof command;
    uint32_t count = 2 + command.arguments % 8 + command.variables % 8 + (pick(8) == 0);
    for (uint32_t index = 0; index < count; index++)
      size += (uint32_t)sprintf(data + size, index == 0 ? "job%u" : "text%u", pick(6)) + 1;
  } else if (type == CONNECT) {
    size = (uint32_t)sprintf(data, "job%u", pick(6));
  } else {
    size = type == TAKEN ? 8 : type == SIGNAL || type == RESIZE ? 4 : pick(600);
    for (uint32_t index = 0; index < size; index += 4) {
      uint32_t number = type == TAKEN && index == 0 ? pick(2) : pick(2) == 0 ? pick(64) : choose_number();
      memcpy(data + index, &number, 4);
    }
  }
  struct frame frame = {pick(40) == 0 ? choose_number() : size, type, (uint16_t)(pick(50) == 0), stream};
  memcpy(at, &frame, sizeof frame);
  return sizeof frame + size;
}

static size_t write_input(void) {
  size_t size = 0;
  if (count_of_seeds > 0 && pick(3) == 0) {
    uint32_t seed = pick((uint32_t)count_of_seeds);
    memcpy(input, seeds[seed], size = sizes[seed]);
  } else {
    if (pick(30) != 0) size = write_frame(input, HELLO, 0);
    for (uint32_t left = 1 + pick(12); left > 0 && size < LONGEST - 1024; left--)
      size += write_frame(input + size, pick(40) == 0 ? (uint16_t)next() : (uint16_t)(1 + pick(13)), pick(5));
  }
  for (uint32_t left = pick(3) == 0 ? 1 + pick(8) : 0; left > 0; left--) {
    uint32_t at = pick((uint32_t)size);
    if (pick(3) == 0) size = at + 1;
    else if (pick(2) == 0 && size - at >= 4) {
      uint32_t number = choose_number();
      memcpy(input + at, &number, 4);
    } else input[at] = (char)next();
  }
  if (pick(4) == 0 && size <= LONGEST) {
    uint32_t seed = count_of_seeds < 64 ? (uint32_t)count_of_seeds++ : pick(64);
    memcpy(seeds[seed], input, sizes[seed] = size);
  }
  return size;
}

static void run_events(void) {
  struct epoll_event ready[EVENTS];
  for (int found, rounds = 0; (found = epoll_wait(epoll_fd, ready, EVENTS, 0)) > 0 && rounds < 200; rounds++) {
    for (int index = 0; index < found; index++) {
      struct watch *watch = ready[index].data.ptr;
      if (watch->fd >= 0) watch->ready(watch->subject, ready[index].events);
    }
    free_all();
  }
}

/* What is answered has to be frames, of the types and sizes that there are. */
static void read_answers(int host, struct buffer *told) {
  char chunk[65536];
  for (ssize_t size; (size = recv(host, chunk, sizeof chunk, MSG_DONTWAIT)) > 0;) {
    if (!reserve(told, (size_t)size, 1u << 30)) give_in("no memory");
    memcpy(told->bytes + told->used, chunk, (size_t)size);
    told->used += (size_t)size;
  }
}

static void check_answers(const struct buffer *told) {
  for (size_t at = 0; told->used - at >= sizeof(struct frame);) {
    struct frame frame;
    memcpy(&frame, told->bytes + at, sizeof frame);
    if (frame.type < WELCOME || frame.type > KILLED || frame.size > MAX_OUTPUT || frame.zero != 0) give_in("no answer");
    if (told->used - at - sizeof frame < frame.size) return;
    at += sizeof frame + frame.size;
  }
}

/* What commands and their reapers say and read meanwhile. */
static void play_commands(void) {
  if (pick(2) == 0) connections_flush();
  for (uint32_t left = pick(8); left > 0 && count_of_ends > 0; left--) {
    int fd = ends[pick((uint32_t)count_of_ends)];
    /* BORN is 0, DONE is 1. */
    static const uint32_t reports[] = {0, STARTED, STARTED, EXITED, FAILED, 1};
    uint32_t report[3] = {reports[pick(6)], 1 + pick(1 << 20), 1 + pick(1 << 20)};
    static char noise[16384];
    if (pick(2) == 0) {
      if (write(fd, report, sizeof report) < 0) continue;
    } else if (pick(2) == 0) {
      if (write(fd, noise, 1 + pick(sizeof noise)) < 0) continue;
    } else if (read(fd, noise, sizeof noise) < 0) continue;
  }
}

static size_t count_descriptors(void) {
  size_t count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static void forget_all(void) {
  while (jobs != NULL) job_release(jobs);
  while (count_of_ends > 0) close(ends[--count_of_ends]);
  free_all();
}

static void run_once(void) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) give_in("no socket");
  /* As small as the kernel has it, so that answers have to wait. */
  int least = 1;
  if (pick(2) == 0) setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
  struct connection *connection = calloc(1, sizeof *connection);
  connections++;
  watch_add(&connection->watch, pair[0], EPOLLIN, on_ready, connection);
  struct buffer told = {0};
  size_t size = write_input();
  for (size_t at = 0; at < size;) {
    size_t part = 1 + pick((uint32_t)(size - at));
    ssize_t sent = send(pair[1], input + at, part, MSG_NOSIGNAL);
    if (sent <= 0) break;
    at += (size_t)sent;
    run_events();
    play_commands();
    if (pick(4) != 0) read_answers(pair[1], &told);
  }
  if (pick(2) == 0) read_answers(pair[1], &told);
  close(pair[1]);
  for (int round = 0; round < 3; round++) run_events();
  check_answers(&told);
  free(told.bytes);
  if (connections != 0) give_in("a connection is left");
  /* What stays is for a later connection. */
  if (pick(4) == 0) forget_all();
}

int main(int count, char **arguments) {
  double seconds = count > 1 ? atof(arguments[1]) : 10;
  state = count > 2 ? strtoull(arguments[2], NULL, 10) : (uint64_t)time(NULL) * 2654435761u;
  if (state == 0) state = 1;
  printf("fuzz: seed %llu\n", (unsigned long long)state);
  fflush(stdout);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGALRM, on_alarm);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  unsigned long rounds = 0;
  for (size_t warm = 0; warm < 200; warm++) run_once();
  forget_all();
  size_t descriptors = count_descriptors(), memory = __sanitizer_get_current_allocated_bytes();
  for (clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC); clock() < end;) {
    for (int round = 0; round < 200; round++, rounds++) {
      alarm(HANG_SECONDS);
      run_once();
    }
    forget_all();
    if (count_descriptors() > descriptors) give_in("descriptors are left");
    if (__sanitizer_get_current_allocated_bytes() > memory) give_in("memory is left");
  }
  printf("fuzz: %lu inputs in %.0f s of processor time, nothing found\n", rounds, seconds);
  return 0;
}
