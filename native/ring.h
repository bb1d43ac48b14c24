/* A bounded queue of bytes that remembers what was sent until it is acknowledged. */
#ifndef RING_H
#define RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring {
  char *bytes;
  size_t size;  /* of the allocation, a power of two; 0 before the first byte */
  uint64_t base; /* first byte kept */
  uint64_t sent; /* first byte not sent on the present connection */
  uint64_t end;  /* after the last byte kept */
};

/* Room to read into, at most two parts; grows up to `limit`. Returns the number of parts, 0 when full. */
int ring_room(struct ring *ring, size_t limit, struct iovec parts[2]);
/* The next bytes to be sent, at most `most`; returns their number. */
size_t ring_unsent(const struct ring *ring, size_t most, struct iovec parts[2], int *count);
/* False when more is acknowledged than was sent. */
int ring_take(struct ring *ring, size_t bytes);
void ring_free(struct ring *ring);

#endif
