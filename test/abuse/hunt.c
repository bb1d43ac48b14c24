// Looks for processes whose program is not of this session, until /tmp/end is there, and opens each one's for writing, as
// CVE-2019-5736 does: by way of a descriptor that is still there when nothing runs it any more. Nothing is written.
// Prints how often it saw one and how often it could have written.
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// By its name until it becomes the command, and by its program where it is the command.
static int is_runtime(const char *pid) {
  char path[300], text[256];
  snprintf(path, sizeof path, "/proc/%s/comm", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  text[length < 0 ? 0 : length] = 0;
  if (strncmp(text, "runc", 4) == 0) return 1;
  snprintf(path, sizeof path, "/proc/%s/exe", pid);
  length = readlink(path, text, sizeof text - 1);
  text[length < 0 ? 0 : length] = 0;
  return strstr(text, "runc") != NULL;
}

int main(void) {
  int seen = 0, opened = 0;
  while (access("/tmp/end", F_OK) != 0) {
    DIR *all = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(all)) != NULL) {
      char path[300], own[64];
      if (!isdigit((unsigned char)entry->d_name[0])) continue;
      if (!is_runtime(entry->d_name)) continue;
      seen++;
      snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
      int fd = open(path, O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
      for (int i = 0; i < 20000; i++) {
        int writable = open(own, O_WRONLY | O_CLOEXEC);
        if (writable < 0) continue;
        struct stat file;
        fstat(writable, &file);
        // What is opened may have become a program of this session meanwhile, or be a sealed copy of the runtime.
        if (file.st_dev == (unsigned long)atol(getenv("RUNTIME_DEVICE")) && file.st_ino == (unsigned long)atol(getenv("RUNTIME_INODE"))) opened++;
        close(writable);
        break;
      }
      close(fd);
    }
    closedir(all);
  }
  printf("%d %d\n", seen, opened);
}
