#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor.h"

/* Small answers that wait for a host which does not read: beyond this it is given up. */
#define MAX_WAITING (1024u * 1024)
#define FIRST_BUFFER 4096u
#define MOST_PARTS 3

struct buffer {
  char *bytes;
  size_t size, used;
};

struct connection {
  struct watch watch;
  struct buffer in, out;
  size_t sent; /* of `out` */
  bool welcome, broken, blocked; /* blocked: the socket takes no more for now */
};

static struct watch listening;
/* Whose answers wait in `out` for the next one, so that the host is woken once for both. */
static struct connection *holding;
static bool is_due; /* with what else there is to tell of the same events, and not later */
static size_t connections;

static bool reserve(struct buffer *buffer, size_t more, size_t limit) {
  size_t size = buffer->size == 0 ? FIRST_BUFFER : buffer->size;
  if (buffer->used + more > limit) return false;
  while (size < buffer->used + more) size *= 2;
  char *bytes = size == buffer->size ? buffer->bytes : realloc(buffer->bytes, size);
  if (bytes == NULL) return false;
  *buffer = (struct buffer){bytes, size, buffer->used};
  return true;
}

static void close_connection(struct connection *connection) {
  if (connection->watch.fd < 0) return;
  watch_close(&connection->watch);
  if (holding == connection) holding = NULL;
  for (struct job *job = jobs; job != NULL; job = job->next)
    if (job->owner == connection) job_leave(job);
  free(connection->in.bytes);
  free(connection->out.bytes);
  connection->in = connection->out = (struct buffer){0};
  connections--;
  free_later(connection);
}

/*
 * Nothing can be sent any more. What the host sent before it went is still read, such as what it has taken of an output:
 * the end of that closes the connection.
 */
static bool break_off(struct connection *connection) {
  connection->broken = true;
  connection->out.used = connection->sent = 0;
  connection->blocked = false;
  shutdown(connection->watch.fd, SHUT_RDWR);
  watch_set(&connection->watch, EPOLLIN);
  return false;
}

static bool can_send(const struct connection *connection) {
  return connection->watch.fd >= 0 && !connection->broken;
}

/* What the socket does not take now waits in `out`. */
static bool flush(struct connection *connection) {
  struct buffer *out = &connection->out;
  while (connection->sent < out->used) {
    ssize_t size = send(connection->watch.fd, out->bytes + connection->sent, out->used - connection->sent, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) return false;
    if (size < 0) return break_off(connection);
    connection->sent += (size_t)size;
  }
  out->used = connection->sent = 0;
  connection->blocked = false;
  return true;
}

static bool keep(struct connection *connection, const void *data, size_t size) {
  if (size == 0) return true;
  if (!reserve(&connection->out, size, MAX_WAITING)) return false;
  memcpy(connection->out.bytes + connection->out.used, data, size);
  connection->out.used += size;
  return true;
}

static void block(struct connection *connection) {
  connection->blocked = true;
  watch_set(&connection->watch, EPOLLIN | EPOLLOUT);
}

/* Sends what waits, then the parts, and keeps a copy of what is left of them. False when the next has to wait. */
static bool send_parts(struct connection *connection, const struct iovec *parts, int count) {
  struct buffer *out = &connection->out;
  struct iovec all[MOST_PARTS + 1] = {{out->bytes + connection->sent, out->used - connection->sent}};
  memcpy(all + 1, parts, (size_t)count * sizeof *parts);
  ssize_t size = connection->blocked ? 0 : writev(connection->watch.fd, all, count + 1);
  if (size < 0 && errno != EAGAIN && errno != EINTR) return break_off(connection);
  size_t skip = size < 0 ? 0 : (size_t)size;
  if (skip >= all[0].iov_len) skip -= all[0].iov_len, out->used = connection->sent = 0;
  else connection->sent += skip, skip = 0;
  for (int part = 0; part < count; part++) {
    size_t length = parts[part].iov_len, gone = skip < length ? skip : length;
    skip -= gone;
    if (!keep(connection, (char *)parts[part].iov_base + gone, length - gone)) return break_off(connection);
  }
  if (out->used == 0) return true;
  block(connection);
  return false;
}

void connection_tell(struct connection *connection, enum answer type, uint32_t stream, const void *data, size_t size) {
  if (!can_send(connection)) return;
  struct frame frame = {.size = (uint32_t)size, .type = (uint16_t)type, .stream = stream};
  struct iovec parts[2] = {{&frame, sizeof frame}, {(void *)data, size}};
  send_parts(connection, parts, 2);
}

/* The same, together with the next answer or a moment later. */
static void tell_later(struct connection *connection, enum answer type, uint32_t stream, const void *data, size_t size) {
  if (!can_send(connection)) return;
  if (holding != connection) connections_flush();
  struct frame frame = {.size = (uint32_t)size, .type = (uint16_t)type, .stream = stream};
  if (!keep(connection, &frame, sizeof frame) || !keep(connection, data, size)) break_off(connection);
  else holding = connection;
}

enum hold connections_hold(void) { return holding == NULL ? HOLD_NOTHING : is_due ? HOLD_DUE : HOLD_MORE; }

void connections_flush(void) {
  struct connection *connection = holding;
  holding = NULL;
  is_due = false;
  if (connection != NULL && !connection->blocked && !flush(connection) && can_send(connection)) block(connection);
}

/* One frame of output, or its end. False when the socket takes no more. */
static bool pump_source(struct connection *connection, struct job *job, int source) {
  struct iovec parts[3];
  int count;
  size_t size = ring_unsent(&job->kept[source], MAX_OUTPUT, parts + 1, &count);
  if (size > 0) {
    struct frame frame = {.size = (uint32_t)size, .type = OUTPUT + source, .stream = job->stream};
    parts[0] = (struct iovec){&frame, sizeof frame};
    job->kept[source].sent += size;
    if (!send_parts(connection, parts, count + 1)) return false;
  }
  bool is_all = job->kept[source].sent == job->kept[source].end;
  if (is_all && job->output[source].fd < 0 && !job->end_told[source]) {
    uint32_t which = (uint32_t)source;
    job->end_told[source] = true;
    tell_later(connection, OUTPUT_END, job->stream, &which, sizeof which);
  }
  return !connection->blocked;
}

static bool has_unsent(const struct job *job) {
  return job->kept[0].sent < job->kept[0].end || job->kept[1].sent < job->kept[1].end;
}

static bool pump_job(struct connection *connection, struct job *job) {
  /* Nothing of a command is told before its start is. */
  if (!job->started) return true;
  for (int source = 0; source < 2; source++)
    if (!can_send(connection) || !pump_source(connection, job, source)) return false;
  if (job->exited && !job->exit_told) {
    struct __attribute__((packed)) {
      uint32_t code;
      uint64_t when;
    } exit = {job->code, job->when};
    job->exit_told = true;
    tell_later(connection, EXITED, job->stream, &exit, sizeof exit);
    is_due = true;
  }
  return can_send(connection) && !connection->blocked;
}

void connection_pump(struct connection *connection) {
  /* A frame of each in turn, so that one that writes much holds up no other. */
  for (bool more = true; more;) {
    more = false;
    for (struct job *job = jobs; job != NULL; job = job->next) {
      if (job->owner != connection) continue;
      if (!pump_job(connection, job)) return;
      more = more || (job->started && has_unsent(job));
    }
  }
}

static void tell_failure(struct connection *connection, uint32_t stream, int error, enum stage stage) {
  uint32_t why[2] = {(uint32_t)error, (uint32_t)stage};
  connection_tell(connection, FAILED, stream, why, sizeof why);
}

static void begin(struct connection *connection, uint32_t stream) {
  int error = main_begin();
  uint32_t who[4] = {(uint32_t)main_pid(), 0, 0, 0};
  if (error != 0) {
    tell_failure(connection, stream, error, STAGE_RUN);
    /* A session whose command cannot be run has ended, as it would have under any other init. */
    if (error != EALREADY) main_end(127);
  } else connection_tell(connection, STARTED, stream, who, sizeof who);
}

static void start(struct connection *connection, uint32_t stream, const char *data, size_t size) {
  enum stage stage;
  struct job *job = job_start(data, size, &stage);
  if (job == NULL) return tell_failure(connection, stream, errno, stage);
  job->owner = connection;
  job->stream = stream;
}

void connection_started(const struct job *job) {
  uint32_t flags = (job->input.fd >= 0 ? WITH_INPUT : 0u) | (job->terminal ? WITH_TERMINAL : 0u) |
                   (job->alone ? ALONE : 0u);
  /* Of a command that was taken up, its last host has left some of that. */
  uint32_t waiting = (uint32_t)(job->waiting.end - job->waiting.base);
  uint32_t who[4] = {(uint32_t)job->pid, (uint32_t)job->reaper, flags, waiting};
  if (job->owner == NULL) return;
  if (job->at_once) connection_tell(job->owner, STARTED, job->stream, who, sizeof who);
  else tell_later(job->owner, STARTED, job->stream, who, sizeof who);
}

static void take_up(struct connection *connection, uint32_t stream, const char *name, size_t size) {
  struct job *job = job_find_name(name, size);
  if (job == NULL || job->owner != NULL)
    return tell_failure(connection, stream, job == NULL ? ENOENT : EBUSY, STAGE_NAME);
  job->owner = connection;
  job->stream = stream;
  job->untold = 0;
  connection_started(job);
  connection_pump(connection);
}

static void list(struct connection *connection, uint32_t stream) {
  for (struct job *job = jobs; job != NULL; job = job->next) {
    if (job->exited || job->files) continue;
    uint32_t who[2] = {(uint32_t)job->pid, (uint32_t)job->reaper};
    struct frame frame = {.size = (uint32_t)(sizeof who + strlen(job->name)), .type = ITEM, .stream = stream};
    struct iovec parts[3] = {{&frame, sizeof frame}, {who, sizeof who}, {job->name, strlen(job->name)}};
    send_parts(connection, parts, 3);
    if (!can_send(connection)) return;
  }
  connection_tell(connection, LISTED, stream, NULL, 0);
}

static uint32_t read_u32(const char *data) {
  uint32_t value;
  memcpy(&value, data, sizeof value);
  return value;
}

static uint16_t read_u16(const char *data) {
  uint16_t value;
  memcpy(&value, data, sizeof value);
  return value;
}

static bool greet(struct connection *connection, const char *data, size_t size) {
  if (size != 8 || read_u32(data) != MAGIC || read_u16(data + 4) > VERSION || read_u16(data + 6) < VERSION) return false;
  struct {
    uint32_t magic;
    uint16_t version, zero;
    uint32_t window;
  } welcome = {MAGIC, VERSION, 0, WINDOW};
  connection->welcome = true;
  connection_tell(connection, WELCOME, 0, &welcome, sizeof welcome);
  return true;
}

/* Where something inside killed the reaper, what the command left is anywhere. */
static void kill_job(struct connection *connection, const struct job *job) {
  bool is_unknown = job->end_of_reaper == KILLED_INSIDE;
  uint32_t left = job->end_of_reaper == NOT_YET ? (uint32_t)kill_below(job->reaper) : 0;
  siginfo_t end = {0};
  if (waitid(P_PID, (id_t)job->reaper, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid != 0)
    is_unknown |= end.si_code != CLD_EXITED;
  if (is_unknown) left = LEFT_UNKNOWN;
  connection_tell(connection, KILLED, job->stream, &left, sizeof left);
}

/* What concerns one command. False for what no host of ours would say. */
static bool handle_job(struct connection *connection, const struct frame *frame, const char *data) {
  struct job *job = job_find(connection, frame->stream);
  /* It may have failed to start while the host still spoke of it. */
  if (job == NULL) return true;
  switch (frame->type) {
    case INPUT: return job_input(job, data, frame->size);
    case INPUT_END: return job_input_end(job), true;
    case SIGNAL: return frame->size == 4 && (job_signal(job, (int)read_u32(data)), true);
    case RESIZE: return frame->size == 4 && (job_resize(job, read_u16(data), read_u16(data + 2)), true);
    case TAKEN:
      if (frame->size != 8 || read_u32(data) > 1) return false;
      if (!ring_take(&job->kept[read_u32(data)], read_u32(data + 4))) return false;
      return job_taken(job), true;
    case RELEASE: return job_release(job), true;
    case DETACH: return job_leave(job), true;
    case KILL: return kill_job(connection, job), true;
    default: return false;
  }
}

static bool handle(struct connection *connection, const struct frame *frame, const char *data) {
  if (!connection->welcome) return frame->type == HELLO && greet(connection, data, frame->size);
  switch (frame->type) {
    case BEGIN: return begin(connection, frame->stream), true;
    case EXEC:
      if (frame->stream == 0 || job_find(connection, frame->stream) != NULL) return false;
      return start(connection, frame->stream, data, frame->size), true;
    case CONNECT:
      if (frame->stream == 0 || job_find(connection, frame->stream) != NULL) return false;
      return take_up(connection, frame->stream, data, frame->size), true;
    case LIST: return list(connection, frame->stream), true;
    default: return handle_job(connection, frame, data);
  }
}

/* Handles the frames that are there whole. Bytes of the next stay. */
static bool handle_all(struct connection *connection) {
  struct buffer *in = &connection->in;
  size_t at = 0;
  while (in->used - at >= sizeof(struct frame)) {
    struct frame frame;
    memcpy(&frame, in->bytes + at, sizeof frame);
    if (frame.size > (frame.type == EXEC ? MAX_COMMAND : MAX_DATA)) return false;
    if (in->used - at < sizeof frame + frame.size) break;
    if (!handle(connection, &frame, in->bytes + at + sizeof frame)) return false;
    if (connection->watch.fd < 0) return true;
    at += sizeof frame + frame.size;
  }
  memmove(in->bytes, in->bytes + at, in->used - at);
  in->used -= at;
  return true;
}

static void on_ready(void *subject, uint32_t events) {
  struct connection *connection = subject;
  if (events & EPOLLOUT) {
    if (!flush(connection)) return;
    watch_set(&connection->watch, EPOLLIN);
    connection_pump(connection);
  }
  if (connection->watch.fd < 0 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  struct buffer *in = &connection->in;
  if (in->used == in->size && !reserve(in, 1, sizeof(struct frame) + MAX_COMMAND + MAX_DATA))
    return close_connection(connection);
  ssize_t size = recv(connection->watch.fd, in->bytes + in->used, in->size - in->used, 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return close_connection(connection);
  in->used += (size_t)size;
  if (!handle_all(connection)) close_connection(connection);
}

bool connection_add(int fd) {
  struct connection *connection = connections < MAX_CONNECTIONS ? calloc(1, sizeof *connection) : NULL;
  if (connection == NULL) return false;
  /* A whole window and its headers: with less each frame of much output would wait for the host's next turn. */
  int room = 2 * WINDOW;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  connections++;
  watch_add(&connection->watch, fd, EPOLLIN, on_ready, connection);
  return true;
}

static void on_connect(void *subject, uint32_t events) {
  (void)subject, (void)events;
  int fd = accept4(listening.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct ucred peer;
  socklen_t size = sizeof peer;
  /* Who is outside has no number here (pid_namespaces(7)). Whoever has one is of the session, and no host of ours. */
  bool is_outside = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == 0;
  if (!is_outside || !connection_add(fd)) close(fd);
}

static _Noreturn void give_up(const char *what) {
  dprintf(2, "supervisor: %s: %s\n", what, strerror(errno));
  _exit(125);
}

void connections_open(const char *directory) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char path[sizeof address.sun_path];
  if (snprintf(address.sun_path, sizeof address.sun_path, "%s/new", directory) >= (int)sizeof address.sun_path ||
      snprintf(path, sizeof path, "%s/socket", directory) >= (int)sizeof path)
    give_up("name of the socket");
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) give_up("socket");
  /* Under its name only when it can be connected to. */
  if (listen(fd, 64) != 0 || rename(address.sun_path, path) != 0) give_up("socket");
  watch_add(&listening, fd, EPOLLIN, on_connect, NULL);
}
