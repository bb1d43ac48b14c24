#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "supervisor.h"

#define LONGEST_PATH 4096

static const char *find_path(char *const *variables) {
  for (; *variables != NULL; variables++)
    if (strncmp(*variables, "PATH=", 5) == 0) return *variables + 5;
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* execvpe(3) would look at our own PATH; the command's counts. */
int run_command(char *const *arguments, char *const *variables) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const char *name = arguments[0];
  if (strchr(name, '/') != NULL) return execve(name, arguments, variables), errno;
  int failure = ENOENT;
  for (const char *at = find_path(variables); *at != '\0';) {
    size_t length = strcspn(at, ":");
    char path[LONGEST_PATH];
    int size = snprintf(path, sizeof path, "%.*s/%s", length == 0 ? 1 : (int)length, length == 0 ? "." : at, name);
    if (size > 0 && (size_t)size < sizeof path) execve(path, arguments, variables);
    /* One that may not be run does not hide one further on, but is what is told when there is none. */
    if (errno == EACCES) failure = EACCES;
    else if (errno != ENOENT && errno != ENOTDIR) return errno;
    at += length;
    if (*at == ':') at++;
  }
  return failure;
}
