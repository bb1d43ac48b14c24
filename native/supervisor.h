#ifndef SUPERVISOR_H
#define SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"
#include "ring.h"

/* Bounds what a host that never releases anything can make of the session's memory. */
#define MAX_JOBS 4096
#define MAX_CONNECTIONS 64

/* A descriptor and who is told of it. `fd` is -1 when it is closed, also for events that are still to be told. */
struct watch {
  int fd;
  uint32_t events;
  void (*ready)(void *subject, uint32_t events);
  void *subject;
};

void watch_add(struct watch *watch, int fd, uint32_t events, void (*ready)(void *, uint32_t), void *subject);
/* Without events nothing is told, not even an end, which epoll(7) would tell again and again. */
void watch_set(struct watch *watch, uint32_t events);
void watch_close(struct watch *watch);
/* Frees it after the events that were read together, of which one may be its own. */
void free_later(void *memory);

struct connection;

/* A command. It holds its streams and its exit until the host has released it. */
struct job {
  struct job *next;
  struct connection *owner; /* NULL when none: its output waits */
  uint32_t stream;
  char *name;
  pid_t pid, reaper;
  struct watch status, output[2], input;
  struct ring kept[2], waiting;
  uint32_t untold; /* input that was taken, and the host does not know it */
  bool terminal, files, at_once, alone, started, input_ended, exited, exit_told, wide;
  bool end_told[2];
  enum { NOT_YET, OF_ITSELF, KILLED_INSIDE } end_of_reaper;
  uint32_t code;
  uint64_t when;
};

extern struct job *jobs;

/* Starts a command as its payload has it. Returns NULL, errno and the stage when it could not even be tried. */
struct job *job_start(const char *payload, size_t size, enum stage *stage);
struct job *job_find(const struct connection *owner, uint32_t stream);
struct job *job_find_name(const char *name, size_t size);
/* Takes input into the queue; false when there is more than the window allows. */
bool job_input(struct job *job, const char *data, size_t size);
void job_input_end(struct job *job);
/* Lets the command write again after the host took some of its output. */
void job_taken(struct job *job);
void job_resize(struct job *job, uint16_t columns, uint16_t rows);
void job_signal(struct job *job, int signal);
void job_release(struct job *job);
/* A child of ours has ended that may be a command whose reaper was killed. */
void job_reaped(pid_t pid, int state);
/* We have no child at all. */
void jobs_reaped(void);
/* Whoever held it holds it no more. */
void job_leave(struct job *job);

/* Tells the owner of a job what there is to tell, as far as the socket takes it. */
void connection_pump(struct connection *connection);
void connection_tell(struct connection *connection, enum answer type, uint32_t stream, const void *data, size_t size);
void connection_started(const struct job *job);
void connections_open(const char *directory);
/* Whether answers wait for the next, for a moment or for no more than the events at hand; sends them without one. */
enum hold { HOLD_NOTHING, HOLD_MORE, HOLD_DUE };
enum hold connections_hold(void);
void connections_flush(void);
/* Takes a descriptor whose other end is the host's; false when it cannot. */
bool connection_add(int fd);

/* The session's own command: 0, or the errno of what kept it from being run. */
int main_begin(void);
pid_t main_pid(void);
/* The session ends with this code, as soon as the host has what was written. */
void main_end(int code);
void reap_children(void);

/* The host's end of a channel over stdio; returns in the process that is to serve it. */
void relay_open(const char *directory);
/* True when it has nothing to do any more. */
bool relay_is_over(void);

/* Kills what is below a process of ours until nothing is; returns how many were seen the last time. */
size_t kill_below(pid_t top);

/* Runs in the new process, which shares its parent's memory: returns only when the command cannot be run. */
int run_command(char *const *arguments, char *const *variables);
/* An operation on files, in a process of its own: 0 or the errno of what kept it from being done. */
int serve_files(char *const *arguments);

#endif
