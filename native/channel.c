#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "supervisor.h"

#define MOST_PIECE (32u * 1024)

/* One connection, or one log. What it holds of either direction is bounded by WINDOW. */
struct line {
  struct line *next;
  struct watch watch;
  struct ring kept;    /* was read here, and is not taken by the other end */
  struct ring waiting; /* came from the other end, and is not written here */
  uint32_t untold;     /* of what was written here, the other end is still to be told */
  uint32_t number;
  uint64_t last; /* what was written to `watch` when all was to end */
  bool is_log, opening, told_close, heard_close;
};

static struct line *lines;
static struct watch input, output;
static char in[2 * (sizeof(struct piece) + MOST_PIECE)], out[sizeof(struct piece) + MOST_PIECE];
static size_t in_used, out_used, out_sent, most_sent;
static bool (*on_opened)(int fd);
static void (*on_greet)(struct reset *);
static void (*on_ended)(void);
static struct {
  struct piece piece;
  struct reset reset;
} expected;
/* Without it all that comes is passed over, up to a RESET: of the host any, of the supervisor the answer to ours. */
static bool in_step, drains;

static void on_line(void *subject, uint32_t events);

static size_t held(const struct ring *ring) { return (size_t)(ring->end - ring->base); }

static void put(enum piece_type type, uint32_t line, const struct iovec *parts, int count) {
  struct piece piece = {0, (uint16_t)type, (uint16_t)line};
  for (int part = 0; part < count; piece.size += (uint32_t)parts[part++].iov_len)
    memcpy(out + sizeof piece + piece.size, parts[part].iov_base, parts[part].iov_len);
  memcpy(out, &piece, sizeof piece);
  out_used = sizeof piece + piece.size;
  out_sent = 0;
}

static void end(void) {
  watch_close(&input);
  watch_close(&output);
  if (on_ended != NULL) on_ended();
}

static bool flush(void) {
  while (output.fd >= 0 && out_sent < out_used) {
    ssize_t size = write(output.fd, out + out_sent, out_used - out_sent);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return watch_set(&output, EPOLLOUT), false;
    if (size < 0) return end(), false;
    out_sent += (size_t)size;
  }
  out_used = out_sent = 0;
  if (output.fd >= 0) watch_set(&output, 0);
  return output.fd >= 0;
}

static void arm(struct line *line) {
  bool can_read = !line->heard_close && held(&line->kept) < WINDOW && (!drains || line->kept.end < line->last);
  /* epoll(7) knows no files: they are only written, and take all at once. */
  if (line->watch.fd < 0 || (line->is_log && on_greet != NULL)) return;
  watch_set(&line->watch, (can_read ? EPOLLIN : 0u) | (held(&line->waiting) > 0 ? EPOLLOUT : 0u));
}

static void close_here(struct line *line) {
  watch_close(&line->watch);
  line->last = 0;
  ring_free(&line->waiting);
}

static void remove_line(struct line *line) {
  struct line **link = &lines;
  while (*link != line) link = &(*link)->next;
  *link = line->next;
}

static void free_line(struct line *line) {
  remove_line(line);
  close_here(line);
  ring_free(&line->kept);
  free_later(line);
}

/* What is next to be told of a line. */
static bool fill(struct line *line) {
  struct iovec parts[2] = {{&line->untold, sizeof line->untold}};
  int count;
  if (line->opening) return line->opening = false, put(PIECE_OPEN, line->number, NULL, 0), true;
  if (line->untold > 0) return put(PIECE_TAKEN, line->number, parts, 1), line->untold = 0, true;
  size_t size = line->heard_close ? 0 : ring_unsent(&line->kept, most_sent, parts, &count);
  if (size > 0) {
    line->kept.sent += size;
    return put(PIECE_DATA, line->number, parts, count), true;
  }
  if (line->watch.fd >= 0 || line->told_close) return false;
  return line->told_close = true, put(PIECE_CLOSE, line->number, NULL, 0), true;
}

bool channel_pump(void) {
  while (flush() && in_step) {
    struct line *line = lines, **end = &lines;
    while (line != NULL && !fill(line)) line = line->next;
    if (line == NULL) break;
    /* To the end, so that each has its turn. */
    remove_line(line);
    line->next = NULL;
    while (*end != NULL) end = &(*end)->next;
    *end = line;
    if (line->told_close && line->heard_close) free_line(line);
  }
  for (struct line *line = lines; line != NULL; line = line->next)
    if (held(&line->kept) > 0 || line->kept.end < line->last) return false;
  return out_used == 0;
}

static void read_line(struct line *line) {
  struct iovec parts[2];
  int count = ring_room(&line->kept, WINDOW, parts);
  ssize_t size = count == 0 ? -1 : readv(line->watch.fd, parts, count);
  if (count > 0 && size <= 0 && !(size < 0 && (errno == EAGAIN || errno == EINTR))) return close_here(line);
  if (size > 0) line->kept.end += (size_t)size;
  arm(line);
}

static void write_line(struct line *line) {
  struct iovec parts[2];
  int count;
  size_t waiting = ring_unsent(&line->waiting, WINDOW, parts, &count);
  ssize_t size = waiting == 0 ? 0 : writev(line->watch.fd, parts, count);
  if (size < 0 && errno != EAGAIN && errno != EINTR) {
    if (!line->is_log) return close_here(line);
    /* A full disk: what does not fit is lost, as it is with a log of the shim's. */
    size = (ssize_t)waiting;
  }
  if (size > 0) {
    line->waiting.sent += (size_t)size;
    ring_take(&line->waiting, (size_t)size);
    line->untold += (uint32_t)size;
  }
  if (line->heard_close && held(&line->waiting) == 0) return close_here(line);
  arm(line);
}

static void on_line(void *subject, uint32_t events) {
  struct line *line = subject;
  if (events & EPOLLOUT) write_line(line);
  if (line->watch.fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_line(line);
  channel_pump();
}

static struct line *find_line(uint32_t number) {
  struct line *line = lines;
  while (line != NULL && line->number != number) line = line->next;
  return line;
}

bool channel_add(int fd, uint32_t number, bool is_log) {
  struct line *line = calloc(1, sizeof *line);
  if (line == NULL) return close(fd), false;
  *line = (struct line){.next = lines, .number = number, .is_log = is_log, .opening = on_greet != NULL && !is_log};
  lines = line;
  watch_add(&line->watch, fd, 0, on_line, line);
  if (is_log && on_greet == NULL) line->kept.base = line->kept.sent = line->kept.end = expected.reset.written[number - LINE_LOG];
  arm(line);
  channel_pump();
  return true;
}

uint32_t channel_number(void) {
  uint32_t number = 1;
  while (number <= MAX_CONNECTIONS && find_line(number) != NULL) number++;
  return number <= MAX_CONNECTIONS ? number : 0;
}

void channel_drain(void) {
  drains = true;
  for (struct line *line = lines; line != NULL; line = line->next) {
    int left = 0;
    if (line->watch.fd < 0 || ioctl(line->watch.fd, FIONREAD, &left) != 0) continue;
    line->last = line->kept.end + (uint64_t)left;
    arm(line);
  }
}

bool channel_waits(void) {
  for (struct line *line = lines; line != NULL; line = line->next)
    if (held(&line->waiting) > 0) return true;
  return false;
}

/* Of a log is told again what the host does not have; all else has ended with the host that is no more. */
static void drop_lines(const struct reset *reset) {
  for (struct line *line = lines, *next; line != NULL; line = next) {
    next = line->next;
    if (!line->is_log) {
      free_line(line);
      continue;
    }
    struct ring *kept = &line->kept;
    uint64_t written = reset->written[line->number - LINE_LOG];
    if (written >= kept->base && written <= kept->end) kept->base = written;
    kept->sent = kept->base;
    ring_free(&line->waiting);
    line->untold = 0;
    line->told_close = false;
    arm(line);
  }
}

static void ask_for_reset(void) {
  in_step = false;
  expected.piece = (struct piece){sizeof expected.reset, PIECE_RESET, 0};
  expected.reset = (struct reset){.magic = MAGIC};
  if (on_greet != NULL) {
    on_greet(&expected.reset);
    if (getrandom(expected.reset.nonce, sizeof expected.reset.nonce, 0) != sizeof expected.reset.nonce) _exit(1);
  }
  drop_lines(&expected.reset);
  /* The supervisor's makes the host ask. Those of the host are written whole or not at all (PIPE_BUF, pipe(7)). */
  put(PIECE_RESET, 0, &(struct iovec){&expected.reset, sizeof expected.reset}, 1);
  flush();
}

static bool reset(const char *data, size_t size) {
  if (size != sizeof expected.reset) return false;
  if (on_greet != NULL) return !in_step && (in_step = true);
  memcpy(&expected.reset, data, size);
  if (expected.reset.magic != MAGIC) return false;
  drop_lines(&expected.reset);
  in_step = true;
  return put(PIECE_RESET, 0, &(struct iovec){(char *)data, size}, 1), true;
}

static bool take_data(struct line *line, const char *data, size_t size) {
  if (line->heard_close || held(&line->waiting) + size > WINDOW) return false;
  if (line->watch.fd < 0) return true;
  while (size > 0) {
    struct iovec parts[2];
    if (ring_room(&line->waiting, WINDOW, parts) == 0) return close_here(line), true;
    size_t part = parts[0].iov_len < size ? parts[0].iov_len : size;
    memcpy(parts[0].iov_base, data, part);
    line->waiting.end += part;
    data += part, size -= part;
  }
  return write_line(line), true;
}

static bool open_line(uint32_t number) {
  int pair[2];
  if (on_opened == NULL || number == 0 || number > MAX_CONNECTIONS) return false;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return false;
  /* One that is not taken ends at once, which is told in the way of any other end. */
  if (!on_opened(pair[0])) close(pair[0]);
  return channel_add(pair[1], number, false);
}

static bool handle(const struct piece *piece, const char *data) {
  struct line *line = find_line(piece->line);
  if (piece->type == PIECE_RESET) return reset(data, piece->size);
  if (piece->type == PIECE_OPEN) return line == NULL && piece->size == 0 && open_line(piece->line);
  /* It may have ended here while the other end still spoke of it. */
  if (line == NULL) return piece->type <= PIECE_CLOSE;
  if (piece->type == PIECE_DATA) return take_data(line, data, piece->size);
  uint32_t taken;
  if (piece->type == PIECE_TAKEN) {
    if (piece->size != sizeof taken) return false;
    memcpy(&taken, data, sizeof taken);
    if (!ring_take(&line->kept, taken)) return false;
    return arm(line), true;
  }
  if (piece->type != PIECE_CLOSE || line->heard_close) return false;
  line->heard_close = true;
  if (held(&line->waiting) == 0) close_here(line);
  line->kept.base = line->kept.sent = line->kept.end;
  if (line->told_close) free_line(line);
  return true;
}

/* Handles what is there whole, from the next RESET on where the order was lost. */
static void handle_all(void) {
  size_t at = 0, known = on_greet == NULL ? sizeof(struct piece) + 4 : sizeof(struct piece) + 24;
  for (;;) {
    if (!in_step) {
      char *found = in_used - at < known ? NULL : memmem(in + at, in_used - at, &expected, known);
      if (found != NULL) at = (size_t)(found - in);
      else if (in_used - at >= known) at = in_used - known + 1;
      if (found == NULL) break;
    }
    struct piece piece;
    if (in_used - at < sizeof piece) break;
    memcpy(&piece, in + at, sizeof piece);
    bool is_good = piece.size <= MOST_PIECE;
    if (is_good && in_used - at < sizeof piece + piece.size) break;
    if (!is_good || !handle(&piece, in + at + sizeof piece)) {
      ask_for_reset();
      at++;
    } else at += sizeof piece + piece.size;
  }
  memmove(in, in + at, in_used - at);
  in_used -= at;
}

static void on_input(void *subject, uint32_t events) {
  (void)subject, (void)events;
  ssize_t size = read(input.fd, in + in_used, sizeof in - in_used);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return end();
  in_used += (size_t)size;
  handle_all();
  channel_pump();
}

static void on_output(void *subject, uint32_t events) {
  (void)subject, (void)events;
  channel_pump();
}

void channel_open(int from, int to, const struct channel_end *us) {
  on_opened = us->opened, on_greet = us->greet, on_ended = us->ended;
  size_t most = us->most;
  most_sent = most < MOST_PIECE ? most - sizeof(struct piece) : MOST_PIECE;
  watch_add(&output, to, 0, on_output, NULL);
  /* The supervisor waits to be asked. */
  expected.piece = (struct piece){sizeof expected.reset, PIECE_RESET, 0};
  expected.reset.magic = MAGIC;
  if (on_greet != NULL) ask_for_reset();
  watch_add(&input, from, EPOLLIN, on_input, NULL);
}
