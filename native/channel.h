/* Many connections over one pair of descriptors; see "Over stdio" in README.md. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In front of each piece of the stream. */
struct piece {
  uint32_t size; /* of what follows */
  uint16_t type;
  uint16_t line;
};

enum piece_type {
  PIECE_RESET = 1, /* struct reset: of the host, and the supervisor's answer; whatever went before is void */
  PIECE_OPEN = 2,  /* of the host: one more connection */
  PIECE_DATA = 3,
  PIECE_TAKEN = 4, /* u32 bytes: as many more may come */
  PIECE_CLOSE = 5, /* nothing more comes; answered by the same */
};

struct reset {
  uint32_t magic, zero;
  uint8_t nonce[16];
  uint64_t written[2]; /* bytes of the logs that the host has */
};

/* The session's own command: what it writes, to the log of the same number in `reset`. */
#define LINE_LOG 0xfff0u

/* What the two ends have not in common. */
struct channel_end {
  size_t most;                    /* bytes of a piece that is sent */
  bool (*opened)(int fd);         /* the supervisor's: the host has opened a connection; false when it cannot be had */
  void (*greet)(struct reset *);  /* the host's: fills in what it has of the logs */
  void (*ended)(void);            /* the other end is gone */
};

void channel_open(int input, int output, const struct channel_end *us);
/* A connection, or a log, on this side; false without memory. Closes `fd` in any case, sooner or later. */
bool channel_add(int fd, uint32_t line, bool is_log);
/* A number that no connection has; 0 when all are taken. */
uint32_t channel_number(void);
/* Tells what there is to be told; true when nothing is left of what was read. */
bool channel_pump(void);
/* From now on nothing is read but what was written before. */
void channel_drain(void);
/* Whether bytes wait here to be read by whoever is connected. */
bool channel_waits(void);

#endif
