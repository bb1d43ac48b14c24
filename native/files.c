/*
 * What the host asks of the session's files. Done by a process of its own, which is what any command of the session is:
 * its user, its capabilities, its filters, its view of the files. Ends with 0 or an errno, and then names the path.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "supervisor.h"

#define NO_MODE "-"
#define MODES 0777u
#define ATTEMPTS 100

static char buffer[MAX_DATA];
/* What failed: the path that was asked for, or one below it. */
static char where[2 * PATH_MAX];

static bool write_all(int fd, const void *data, size_t size) {
  for (const char *at = data; size > 0;) {
    ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    at += written, size -= (size_t)written;
  }
  return true;
}

static bool read_exactly(void *data, size_t size) {
  for (char *at = data; size > 0;) {
    ssize_t count = read(0, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return errno = ECANCELED, false;
    at += count, size -= (size_t)count;
  }
  return true;
}

static bool refuse(int error) { return errno = error, false; }

/* Without a wait for a writer, or a line, that may never come. */
static bool read_file(const char *path) {
  struct stat facts;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &facts) != 0) return false;
  if (!S_ISREG(facts.st_mode)) return refuse(S_ISDIR(facts.st_mode) ? EISDIR : ENODEV);
  for (ssize_t size; (size = read(fd, buffer, sizeof buffer)) != 0;)
    if (size < 0 || !write_all(1, buffer, (size_t)size)) return false;
  return true;
}

/* Beside the path, so that it can take its place. */
static bool name_temporary(const char *path, int attempt, char name[PATH_MAX]) {
  const char *slash = strrchr(path, '/');
  int size = snprintf(name, PATH_MAX, "%.*s.cadre-%d-%d", (int)(slash - path + 1), path, (int)getpid(), attempt);
  return size < PATH_MAX || refuse(ENAMETOOLONG);
}

/* The host sends pieces, each behind its size; 0 is the end. Input that just ends is a host that is gone. */
static bool receive(int fd) {
  for (uint32_t left; read_exactly(&left, sizeof left);) {
    if (left == 0) return true;
    while (left > 0) {
      size_t size = left < sizeof buffer ? left : sizeof buffer;
      if (!read_exactly(buffer, size) || !write_all(fd, buffer, size)) return false;
      left -= (uint32_t)size;
    }
  }
  return false;
}

static bool write_file(const char *asked, const char *mode) {
  static char real[PATH_MAX], temporary[PATH_MAX];
  struct stat old;
  const char *path = realpath(asked, real) == NULL ? asked : real;
  bool is_there = stat(path, &old) == 0;
  if (is_there && !S_ISREG(old.st_mode)) return refuse(S_ISDIR(old.st_mode) ? EISDIR : ENODEV);
  int fd = -1;
  for (int attempt = 0; fd < 0; attempt++) {
    if (!name_temporary(path, attempt, temporary)) return false;
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && (errno != EEXIST || attempt == ATTEMPTS)) return false;
  }
  bool done = receive(fd);
  /* Who may not give it away keeps it. */
  if (done && is_there) done = fchown(fd, old.st_uid, old.st_gid) == 0 || errno == EPERM;
  if (done && strcmp(mode, NO_MODE) != 0) done = fchmod(fd, (mode_t)strtoul(mode, NULL, 10) & MODES) == 0;
  else if (done && is_there) done = fchmod(fd, old.st_mode & MODES) == 0;
  done = done && close(fd) == 0 && rename(temporary, path) == 0;
  int kept = errno;
  if (!done) unlink(temporary);
  errno = kept;
  return done;
}

static bool tell_entry(const struct stat *facts, const char *name) {
  struct entry entry = {facts->st_mode, facts->st_uid, facts->st_gid, (uint32_t)strlen(name), (uint64_t)facts->st_size,
                        (int64_t)facts->st_mtim.tv_sec * 1000 + facts->st_mtim.tv_nsec / 1000000};
  if (fwrite(&entry, sizeof entry, 1, stdout) != 1) return false;
  return fwrite(name, 1, entry.name, stdout) == entry.name;
}

static bool is_itself(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

static bool list_directory(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) return false;
  for (;;) {
    struct stat facts;
    errno = 0;
    struct dirent *found = readdir(directory);
    if (found == NULL) return errno == 0;
    if (is_itself(found->d_name)) continue;
    if (fstatat(dirfd(directory), found->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0) {
      if (!tell_entry(&facts, found->d_name)) return false;
      /* It may have gone since. */
    } else if (errno != ENOENT) return false;
  }
}

/* Its name is where it leads to, when it is a symbolic link. */
static bool tell_path(const char *path, bool follows) {
  static char target[PATH_MAX];
  struct stat facts;
  if ((follows ? stat : lstat)(path, &facts) != 0) return false;
  if (S_ISLNK(facts.st_mode) && readlink(path, target, sizeof target - 1) < 0) return false;
  return tell_entry(&facts, target);
}

static bool make_directory(char *path, const char *mode, bool recursive) {
  struct stat facts;
  for (char *at = path; recursive && (at = strchr(at + 1, '/')) != NULL; *at = '/') {
    *at = '\0';
    if (mkdir(path, 0777) != 0 && errno != EEXIST) return false;
  }
  if (mkdir(path, 0777) != 0)
    return recursive && errno == EEXIST && stat(path, &facts) == 0 && (S_ISDIR(facts.st_mode) || refuse(EEXIST));
  return strcmp(mode, NO_MODE) == 0 || chmod(path, (mode_t)strtoul(mode, NULL, 10) & MODES) == 0;
}

/* By descriptors: nothing that is put in a directory's place meanwhile leads out of it. */
static bool remove_at(int parent, const char *name, bool recursive) {
  if (unlinkat(parent, name, 0) == 0) return true;
  if (!recursive || errno != EISDIR) return false;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *directory = fd < 0 ? NULL : fdopendir(fd);
  if (directory == NULL) return false;
  size_t length = strlen(where);
  /* Some file systems leave out what follows a name that was just removed. */
  for (bool more = true; more; rewinddir(directory)) {
    more = false;
    for (struct dirent *found; (found = readdir(directory)) != NULL;) {
      if (is_itself(found->d_name)) continue;
      snprintf(where + length, sizeof where - length, "/%s", found->d_name);
      if (!remove_at(fd, found->d_name, true)) return false;
      where[length] = '\0';
      more = true;
    }
  }
  closedir(directory);
  return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/* In the place of whatever file is there. */
static bool make_link(const char *path, const char *target) {
  static char temporary[PATH_MAX];
  for (int attempt = 0;; attempt++) {
    if (!name_temporary(path, attempt, temporary)) return false;
    if (symlink(target, temporary) == 0) break;
    if (errno != EEXIST || attempt == ATTEMPTS) return false;
  }
  if (rename(temporary, path) == 0) return true;
  int kept = errno;
  unlink(temporary);
  return refuse(kept);
}

/* The path, and what else it takes. */
static bool serve(const char *what, char *path, const char *more, const char *rest) {
  if (strcmp(what, "read") == 0) return read_file(path);
  if (strcmp(what, "write") == 0) return write_file(path, more);
  if (strcmp(what, "list") == 0) return list_directory(path);
  if (strcmp(what, "stat") == 0) return tell_path(path, strcmp(more, "follow") == 0);
  if (strcmp(what, "mkdir") == 0) return make_directory(path, more, strcmp(rest, "recursive") == 0);
  if (strcmp(what, "rm") == 0) return remove_at(AT_FDCWD, path, strcmp(more, "recursive") == 0);
  if (strcmp(what, "rename") == 0) return rename(path, more) == 0;
  if (strcmp(what, "chmod") == 0) return chmod(path, (mode_t)strtoul(more, NULL, 10) & MODES) == 0;
  if (strcmp(what, "link") == 0) return make_link(path, more);
  return refuse(ENOSYS);
}

int serve_files(char *const *arguments) {
  sigset_t end;
  char *path = arguments[1];
  if (path == NULL || path[0] != '/' || strlen(path) >= PATH_MAX) return path == NULL || path[0] != '/' ? EINVAL : ENAMETOOLONG;
  const char *more = arguments[2] == NULL ? "" : arguments[2];
  const char *rest = arguments[2] == NULL || arguments[3] == NULL ? "" : arguments[3];
  strcpy(where, path);
  /* All are blocked, as the supervisor has them. What is written ends by its input, and takes its temporary with it. */
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  if (strcmp(arguments[0], "write") != 0) sigprocmask(SIG_UNBLOCK, &end, NULL);
  if (serve(arguments[0], path, more, rest) && fflush(stdout) == 0) return 0;
  int error = errno;
  write_all(2, where, strlen(where));
  return error == 0 ? EIO : error;
}
