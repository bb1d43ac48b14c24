#include "denied.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netpacket/packet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Destinations that are remembered, and for how long one that was told of is only counted. */
#define KNOWN 64
#define QUIET_MS 5000
/* Reports of one second: a flood is a few lines and not a log that fills the disk. */
#define MOST 20

struct packet {
  uint16_t type; /* of the frame, such as 0x0800 */
  uint8_t protocol;
  uint16_t port;
  uint8_t address[16];
};

static struct {
  struct packet packet;
  uint64_t told_at;
  unsigned count;
} known[KNOWN];

static uint64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool has_port(uint8_t protocol) { return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP; }

/* False for what the session's kernel sends by itself: membership of groups, the search for routers and neighbours. */
static bool parse(const uint8_t *data, size_t size, uint16_t type, struct packet *packet) {
  *packet = (struct packet){.type = type};
  size_t ports = 0;
  if (type == 0x0800 && size >= 20) {
    packet->protocol = data[9];
    memcpy(packet->address, data + 16, 4);
    bool is_first = ((data[6] & 0x1f) | data[7]) == 0;
    if (is_first) ports = (size_t)(data[0] & 15) * 4;
    if (packet->protocol == IPPROTO_IGMP) return false;
  } else if (type == 0x86dd && size >= 40) {
    packet->protocol = data[6];
    memcpy(packet->address, data + 24, 16);
    ports = 40;
    if (data[24] == 0xff) return false;
  }
  if (ports != 0 && has_port(packet->protocol) && size >= ports + 4) {
    packet->port = (uint16_t)(data[ports + 2] << 8 | data[ports + 3]);
  }
  return true;
}

static int describe(const struct packet *packet, unsigned count, char *line, size_t size) {
  char address[INET6_ADDRSTRLEN] = "";
  char protocol[24];
  bool is_six = packet->type == 0x86dd;
  if (packet->type != 0x0800 && !is_six) snprintf(protocol, sizeof protocol, "ethertype-0x%04x", packet->type);
  else {
    inet_ntop(is_six ? AF_INET6 : AF_INET, packet->address, address, sizeof address);
    switch (packet->protocol) {
      case IPPROTO_TCP: strcpy(protocol, "tcp"); break;
      case IPPROTO_UDP: strcpy(protocol, "udp"); break;
      case IPPROTO_ICMP: strcpy(protocol, "icmp"); break;
      case IPPROTO_ICMPV6: strcpy(protocol, "icmpv6"); break;
      default: snprintf(protocol, sizeof protocol, "ip-%u", packet->protocol);
    }
  }
  return snprintf(line, size, "{\"protocol\":\"%s\",\"address\":\"%s\",\"port\":%u,\"count\":%u}\n", protocol, address,
                  packet->port, count);
}

static void note(const struct packet *packet, void (*tell)(const char *line, size_t size)) {
  static uint64_t second;
  static unsigned told;
  uint64_t now = now_ms();
  size_t place = 0;
  for (size_t index = 0; index < KNOWN; index++) {
    if (memcmp(&known[index].packet, packet, sizeof *packet) == 0) {
      place = index;
      break;
    }
    if (known[index].told_at < known[place].told_at) place = index;
  }
  if (memcmp(&known[place].packet, packet, sizeof *packet) != 0) {
    known[place].packet = *packet;
    known[place].told_at = 0;
    known[place].count = 0;
  }
  known[place].count++;
  if (known[place].told_at != 0 && now - known[place].told_at < QUIET_MS) return;
  if (now - second >= 1000) second = now, told = 0;
  if (told++ >= MOST) return;
  char line[160];
  int size = describe(packet, known[place].count, line, sizeof line);
  known[place].told_at = now;
  known[place].count = 0;
  tell(line, (size_t)size);
}

void denied_read(int tap, void (*tell)(const char *line, size_t size)) {
  uint8_t data[HEAD];
  struct sockaddr_ll from;
  socklen_t length = sizeof from;
  ssize_t size = recvfrom(tap, data, sizeof data, MSG_TRUNC, (struct sockaddr *)&from, &length);
  /* ENETDOWN: the session's end went, and its namespace with it. */
  if (size < 0 && errno != EAGAIN && errno != ENETDOWN) exit(1);
  struct packet packet;
  memset(&packet, 0, sizeof packet);
  size_t seen = size < (ssize_t)sizeof data ? (size_t)(size < 0 ? 0 : size) : sizeof data;
  if (size > 0 && parse(data, seen, ntohs(from.sll_protocol), &packet)) note(&packet, tell);
}
