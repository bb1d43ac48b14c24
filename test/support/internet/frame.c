/*
 * Sends one frame of its own making through eth0: frame ADDRESS TEXT. It holds a datagram for port 9999 of the address, and
 * goes to the gateway, which something was sent to before.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define PORT 9999

static void fail(const char *step) {
  perror(step);
  exit(1);
}

static uint16_t sum(const void *data, size_t size) {
  const uint16_t *words = data;
  uint32_t total = 0;
  for (size_t index = 0; index < size / 2; index++) total += words[index];
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return (uint16_t)~total;
}

/* Its link-layer address, by the kernel's tables of routes and of neighbours. */
static void find_gateway(unsigned char *to) {
  char line[256], address[64] = "";
  uint32_t destination, gateway;
  FILE *routes = fopen("/proc/net/route", "r");
  while (routes && fgets(line, sizeof line, routes))
    if (sscanf(line, "%*s %x %x", &destination, &gateway) == 2 && destination == 0)
      inet_ntop(AF_INET, &gateway, address, sizeof address);
  FILE *neighbours = fopen("/proc/net/arp", "r");
  while (neighbours && fgets(line, sizeof line, neighbours)) {
    char of[64];
    if (sscanf(line, "%63s %*s %*s %hhx:%hhx:%hhx:%hhx:%hhx:%hhx", of, to, to + 1, to + 2, to + 3, to + 4, to + 5) == 7 &&
        strcmp(of, address) == 0)
      return;
  }
  fprintf(stderr, "the gateway \"%s\" is no neighbour that is known\n", address);
  exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3 || strlen(argv[2]) > 1000) return 2;
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
  int inet = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || inet < 0) fail("socket");
  struct ifreq request = {.ifr_name = "eth0"};
  struct {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    char text[1000];
  } __attribute__((packed)) frame = {0};
  size_t length = strlen(argv[2]);
  if (ioctl(inet, SIOCGIFHWADDR, &request) < 0) fail("SIOCGIFHWADDR");
  memcpy(frame.ethernet.ether_shost, request.ifr_hwaddr.sa_data, ETH_ALEN);
  if (ioctl(inet, SIOCGIFADDR, &request) < 0) fail("SIOCGIFADDR");
  frame.ip.saddr = ((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr;
  if (ioctl(inet, SIOCGIFINDEX, &request) < 0) fail("SIOCGIFINDEX");
  find_gateway(frame.ethernet.ether_dhost);
  frame.ethernet.ether_type = htons(ETH_P_IP);
  frame.ip.version = 4;
  frame.ip.ihl = sizeof frame.ip / 4;
  frame.ip.ttl = 64;
  frame.ip.protocol = IPPROTO_UDP;
  frame.ip.tot_len = htons((uint16_t)(sizeof frame.ip + sizeof frame.udp + length));
  if (inet_pton(AF_INET, argv[1], &frame.ip.daddr) != 1) return 2;
  frame.ip.check = sum(&frame.ip, sizeof frame.ip);
  frame.udp.source = frame.udp.dest = htons(PORT);
  frame.udp.len = htons((uint16_t)(sizeof frame.udp + length));
  memcpy(frame.text, argv[2], length);
  struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_ifindex = request.ifr_ifindex, .sll_halen = ETH_ALEN};
  size_t size = sizeof frame - sizeof frame.text + length;
  if (sendto(fd, &frame, size, 0, (struct sockaddr *)&link, sizeof link) < 0) fail("sendto");
}
