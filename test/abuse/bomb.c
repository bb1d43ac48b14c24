// What takes all it can get: `bomb processes|memory|descriptors`.
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void take_descriptors(void) {
  int pipes[2];
  while (pipe(pipes) == 0 && open("/dev/null", O_RDWR) >= 0) {}
}

int main(int count, char **arguments) {
  char kind = count > 1 ? arguments[1][0] : 0;
  if (kind == 'p') for (;;) fork();
  if (kind == 'm') for (;;) {
    char *block = malloc(1 << 20);
    if (block) memset(block, 1, 1 << 20);
  }
  // In every process that it can have.
  if (kind == 'd') for (;;) {
    take_descriptors();
    fork();
  }
  return 1;
}
