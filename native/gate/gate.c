/*
 * Opens the sockets of an allowlist's gate in its network namespace, and hands them to its parent, which enforces.
 *
 *   gate NAMESPACE INTERFACE ADDRESS PORT
 *
 * Its parent is Node, the channel is Node's own (lib/internal/child_process.js): a line of JSON each, a descriptor beside
 * it. It then stays, tells what came that is neither TCP nor for the resolver, and ends with the channel.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "denied.h"

/* musl brings no headers of the kernel: linux/if_ether.h, linux/if_packet.h and linux/filter.h, as far as it goes. */
#define ALL_PROTOCOLS 3
#define IGNORE_OUTGOING 23
#define OFFSET_OF_PROTOCOL 0xfffff000
enum code { LOAD_WORD = 0x20, LOAD_HALF = 0x28, LOAD_BYTE = 0x30, LOAD_HALF_BEHIND = 0x48, LOAD_LENGTH = 0xb1, IS = 0x15, HAS = 0x45, RETURN = 0x06 };
struct instruction {
  uint16_t code;
  uint8_t if_true, if_false;
  uint32_t value;
};
struct filter {
  unsigned short length;
  const struct instruction *instructions;
};

/* Another process enforces already. */
#define EXIT_TAKEN 3
#define NOBODY 65534

static int channel;

static void fail(const char *step) {
  fprintf(stderr, "%s: %s\n", step, strerror(errno));
  exit(errno == EADDRINUSE ? EXIT_TAKEN : 1);
}

static void write_sysctl(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  /* A kernel without IPv6 has none to turn off. */
  if (fd < 0 && errno == ENOENT) return;
  if (fd < 0 || write(fd, value, strlen(value)) < 0) fail(path);
  close(fd);
}

/* The namespace holds nothing but its end of the link, and is to answer nothing by itself. */
static void enter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) fail(path);
  close(fd);
  write_sysctl("/proc/sys/net/ipv4/ip_forward", "0");
  write_sysctl("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
  write_sysctl("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
}

static int open_socket(int type, struct sockaddr_in *address) {
  static const int on = 1;
  int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  if (type == SOCK_STREAM) {
    /* What a dead enforcer's connections leave in TIME_WAIT is in nobody's way; one that listens still is. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0) fail("SO_REUSEADDR");
    /* TPROXY gives it connections to any address (tproxy.rst in the kernel's documentation). */
    if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, &on, sizeof on) < 0) fail("IP_TRANSPARENT");
  }
  if (bind(fd, (struct sockaddr *)address, sizeof *address) < 0) fail("bind");
  if (type == SOCK_STREAM && listen(fd, SOMAXCONN) < 0) fail("listen");
  return fd;
}

/* Sees what comes from the session and is neither TCP over IPv4, nor ARP, nor for the resolver. */
static int open_tap(const char *interface, in_addr_t gate) {
  static const int on = 1;
  const struct instruction program[] = {
      {LOAD_WORD, 0, 0, OFFSET_OF_PROTOCOL},
      {IS, 12, 0, 0x0806},
      {IS, 0, 10, 0x0800},
      {LOAD_BYTE, 0, 0, 9},
      {IS, 9, 0, IPPROTO_TCP},
      {IS, 0, 7, IPPROTO_UDP},
      {LOAD_WORD, 0, 0, 16},
      {IS, 0, 5, ntohl(gate)},
      {LOAD_HALF, 0, 0, 6},
      {HAS, 3, 0, 0x1fff}, /* a later fragment has no ports */
      {LOAD_LENGTH, 0, 0, 0},
      {LOAD_HALF_BEHIND, 0, 0, 2},
      {IS, 1, 0, 53},
      {RETURN, 0, 0, HEAD},
      {RETURN, 0, 0, 0},
  };
  struct filter filter = {sizeof program / sizeof *program, program};
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ALL_PROTOCOLS)};
  if ((link.sll_ifindex = (int)if_nametoindex(interface)) == 0) fail(interface);
  /* Without a protocol nothing arrives before the filter is there. */
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0) fail("packet socket");
  if (setsockopt(fd, SOL_PACKET, IGNORE_OUTGOING, &on, sizeof on) < 0) fail("PACKET_IGNORE_OUTGOING");
  if (bind(fd, (struct sockaddr *)&link, sizeof link) < 0) fail("bind packet socket");
  return fd;
}

/* Waits until it was taken: a second descriptor on its way could be taken for the first. */
static void hand_over(int fd, const char *line) {
  struct iovec data = {(void *)line, strlen(line)};
  union {
    char space[CMSG_SPACE(sizeof fd)];
    struct cmsghdr align;
  } control = {{0}};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(channel, &message, MSG_NOSIGNAL) < 0) fail("channel");
  char answer[256] = "";
  for (size_t size = 0; size == 0 || answer[size - 1] != '\n';) {
    ssize_t got = size < sizeof answer - 1 ? read(channel, answer + size, sizeof answer - 1 - size) : -1;
    if (got <= 0) exit(1);
    size += (size_t)got;
  }
  if (strstr(answer, "NODE_HANDLE_ACK") == NULL) exit(1);
  /* From now on the parent's alone: it is closed at the moment that the parent ends. */
  close(fd);
}

/* It reads what a session sends, and needs no right to do that. */
static void drop_rights(void) {
  if (setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0) fail("setresuid");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("PR_SET_NO_NEW_PRIVS");
}

static void tell(const char *line, size_t size) {
  /* A parent that does not read loses reports, and no more than that. */
  if (send(channel, line, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) exit(0);
}

int main(int count, char **arguments) {
  const char *given = getenv("NODE_CHANNEL_FD");
  struct sockaddr_in address = {.sin_family = AF_INET};
  if (count != 5 || given == NULL || inet_pton(AF_INET, arguments[3], &address.sin_addr) != 1) {
    fprintf(stderr, "usage: gate NAMESPACE INTERFACE ADDRESS PORT, as a child with Node's channel\n");
    return 2;
  }
  channel = atoi(given);
  enter(arguments[1]);
  address.sin_port = htons((uint16_t)atoi(arguments[4]));
  int tcp = open_socket(SOCK_STREAM, &address);
  address.sin_port = htons(53);
  int udp = open_socket(SOCK_DGRAM, &address);
  int tap = open_tap(arguments[2], address.sin_addr.s_addr);
  drop_rights();
  hand_over(tcp, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"net.Native\",\"msg\":\"tcp\"}\n");
  hand_over(udp, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"dgram.Socket\",\"dgramType\":\"udp4\",\"msg\":\"dns\"}\n");
  for (;;) {
    struct pollfd ready[] = {{channel, POLLIN, 0}, {tap, POLLIN, 0}};
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return 1;
    if (ready[0].revents != 0) return 0;
    if (ready[1].revents & (POLLERR | POLLHUP | POLLNVAL)) return 1;
    if (ready[1].revents != 0) denied_read(tap, tell);
  }
}
