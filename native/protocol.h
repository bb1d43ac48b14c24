/* The frames between the supervisor and the host. Little-endian, as both run on one machine that is. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>

#define MAGIC 0x52444143u /* "CADR" */
#define VERSION 1

/* Bounds of what either end takes. A command that does not fit is refused, never cut. */
#define MAX_DATA (64u * 1024)
#define MAX_COMMAND (256u * 1024)
/* Of output in one frame: each costs the host a turn of its loop. */
#define MAX_OUTPUT (256u * 1024)
/* Output that was read of a command and that the host has not yet taken; also how much input waits for a command. */
#define WINDOW (512u * 1024)

struct frame {
  uint32_t size; /* of the payload that follows */
  uint16_t type;
  uint16_t zero;
  uint32_t stream; /* names a command within one connection; chosen by the host */
};

/* From the host. */
enum request {
  HELLO = 1,     /* u32 magic, u16 lowest version, u16 highest */
  BEGIN = 2,     /* starts the session's own command; STARTED or FAILED */
  EXEC = 3,      /* struct command, then its strings */
  CONNECT = 4,   /* name: takes up a command that no connection holds */
  INPUT = 5,     /* data */
  INPUT_END = 6, /* the command reads end of input */
  SIGNAL = 7,    /* u32 */
  RESIZE = 8,    /* u16 columns, u16 rows */
  TAKEN = 9,     /* u32 source, u32 bytes: may be forgotten */
  RELEASE = 10,  /* the host knows all it wants to know of it */
  DETACH = 11,   /* stays for CONNECT */
  LIST = 12,     /* an ITEM each, then LISTED */
  KILL = 13,     /* ends it and all that it started; KILLED */
};

/* To the host. */
enum answer {
  WELCOME = 64,     /* u32 magic, u16 version, u16 0, u32 window */
  STARTED = 65,     /* u32 pid, u32 pid of its reaper, as the session numbers them; u32 flags, u32 input that waits */
  FAILED = 66,      /* u32 errno, u32 stage */
  OUTPUT = 67,      /* data; source 0 */
  ERROR_OUTPUT = 68,/* data; source 1 */
  OUTPUT_END = 69,  /* u32 source */
  INPUT_TAKEN = 70, /* u32 bytes, in steps of a quarter of the window */
  EXITED = 71,      /* u32 code (LOST_CODE: nobody knows), u64 ms since 1970 */
  ITEM = 72,        /* u32 pid, u32 pid of its reaper, name */
  LISTED = 73,
  KILLED = 74,      /* u32 processes that are not dead yet (LEFT_UNKNOWN: nobody knows); 0 when none is */
};

#define LOST_CODE 0xffffffffu
#define LEFT_UNKNOWN 0xffffffffu

enum stage { STAGE_FORK = 0, STAGE_CWD = 1, STAGE_RUN = 2, STAGE_NAME = 3 };

struct command {
  uint32_t flags;
  uint16_t columns, rows;
  uint32_t arguments, variables; /* counts: name, cwd, arguments and variables follow as strings, each with its NUL */
};

#define WITH_INPUT 1u
#define WITH_TERMINAL 2u
/*
 * The arguments are no program's but an operation on files and its path, see files.c: its code is 0 or an errno, and its
 * error output the path that this is about. It ends with the connection that asked for it.
 */
#define WITH_FILES 4u
/* Its start is told at once; else with what there is to tell of it next, or a moment later. */
#define AT_ONCE 8u
/* Of a start that is told: nothing else that was started here was there. */
#define ALONE 16u

/* One file, as `list` and `stat` tell it; its name follows. */
struct entry {
  uint32_t mode, uid, gid, name;
  uint64_t size;
  int64_t modified; /* ms since 1970 */
};

#endif
