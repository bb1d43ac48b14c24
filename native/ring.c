#include "ring.h"

#include <stdlib.h>
#include <string.h>

#define SMALLEST 4096u

/* The parts of the ring between two positions, which wrap round at most once. */
static int parts_of(const struct ring *ring, uint64_t from, size_t count, struct iovec parts[2]) {
  size_t start = from & (ring->size - 1);
  size_t first = ring->size - start < count ? ring->size - start : count;
  if (count == 0) return 0;
  parts[0] = (struct iovec){ring->bytes + start, first};
  parts[1] = (struct iovec){ring->bytes, count - first};
  return first < count ? 2 : 1;
}

static int grow(struct ring *ring, size_t size) {
  char *bytes = malloc(size);
  if (bytes == NULL) return 0;
  struct iovec parts[2];
  int count = ring->size == 0 ? 0 : parts_of(ring, ring->base, ring->end - ring->base, parts);
  for (int part = 0, at = 0; part < count; at += (int)parts[part++].iov_len) {
    size_t start = (ring->base + (uint64_t)at) & (size - 1);
    size_t first = size - start < parts[part].iov_len ? size - start : parts[part].iov_len;
    memcpy(bytes + start, parts[part].iov_base, first);
    memcpy(bytes, (char *)parts[part].iov_base + first, parts[part].iov_len - first);
  }
  free(ring->bytes);
  ring->bytes = bytes;
  ring->size = size;
  return 1;
}

int ring_room(struct ring *ring, size_t limit, struct iovec parts[2]) {
  size_t held = ring->end - ring->base;
  /* A command that writes little costs one page; without memory for more, what there is serves. */
  if (held == ring->size && ring->size < limit) {
    if (!grow(ring, ring->size == 0 ? SMALLEST : ring->size * 4 < limit ? ring->size * 4 : limit) && ring->size == 0)
      return 0;
  }
  return parts_of(ring, ring->end, ring->size - held, parts);
}

size_t ring_unsent(const struct ring *ring, size_t most, struct iovec parts[2], int *count) {
  size_t held = ring->end - ring->sent;
  if (held > most) held = most;
  *count = parts_of(ring, ring->sent, held, parts);
  return held;
}

int ring_take(struct ring *ring, size_t bytes) {
  if (bytes > ring->sent - ring->base) return 0;
  ring->base += bytes;
  return 1;
}

void ring_free(struct ring *ring) {
  free(ring->bytes);
  *ring = (struct ring){0};
}
