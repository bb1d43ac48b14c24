#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "supervisor.h"

#define ROUNDS 100
#define MOST 8192

/* What runs, as /proc has it now. Its `children` are not in every kernel. */
static struct one {
  pid_t pid, parent;
  bool below;
} all[MOST];

static size_t list_all(void) {
  size_t count = 0;
  DIR *directory = opendir("/proc");
  if (directory == NULL) return 0;
  for (struct dirent *entry; count < MOST && (entry = readdir(directory)) != NULL;) {
    char path[64], text[512], state = 'Z';
    int pid = atoi(entry->d_name), parent = 0;
    if (pid <= 1 || snprintf(path, sizeof path, "/proc/%d/stat", pid) < 0) continue;
    FILE *file = fopen(path, "re");
    if (file == NULL) continue;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    /* The name before it is the command's own to choose. */
    char *rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest, ") %c %d", &state, &parent) != 2 || state == 'X') continue;
    if (state != 'Z') all[count++] = (struct one){pid, parent, false};
  }
  closedir(directory);
  return count;
}

/* Kills what is below; returns how many there were. */
static size_t kill_round(pid_t top) {
  size_t count = list_all(), found = 0;
  for (bool more = true; more;) {
    more = false;
    for (size_t index = 0; index < count; index++) {
      struct one *one = &all[index];
      bool below = one->parent == top;
      for (size_t other = 0; !below && other < count; other++) below = all[other].below && all[other].pid == one->parent;
      if (one->below || !below) continue;
      one->below = more = true;
      kill(one->pid, SIGKILL);
      found++;
    }
  }
  return found;
}

size_t kill_below(pid_t top) {
  size_t left = 1;
  for (int round = 0; round < ROUNDS && (left = kill_round(top)) > 0; round++)
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  return left;
}
