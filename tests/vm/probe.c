// What runs in the pods of the VM tests. One verb an argument list, numbered lines on standard output.
//
//   probe tick MILLISECONDS         "tick N" for ever (0: as fast as the log takes them), and ends on SIGTERM
//   probe stubborn DIRECTORY        ignores SIGTERM, holds an open file and its working directory there
//   probe write ROOT                tries to create files below ROOT and says what became of each; then stays
//   probe ends ROOT                 ends the machine below ROOT, a way a boot: the kernel panics; init stands still; then stays
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void End(int signal) {
  (void)signal;
  _exit(0);
}

static void Sleep(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

_Noreturn static void Tick(long milliseconds) {
  for (unsigned long n = 1;; ++n) {
    printf("tick %lu\n", n);
    if (milliseconds > 0) Sleep(milliseconds);
  }
}

static int Stubborn(const char* directory) {
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  if (chdir(directory) != 0) {
    printf("enter %s: %s\n", directory, strerror(errno));
    return 1;
  }
  int fd = open("held", O_WRONLY | O_CREAT, 0600);
  printf("stubborn: %s\n", fd >= 0 ? "holding" : strerror(errno));
  for (unsigned long n = 0;; ++n) {
    if (dprintf(fd, "%lu\n", n) < 0) printf("write held: %s\n", strerror(errno));
    Sleep(100);
  }
}

// "existed" tells of a file that an earlier boot left.
static void WriteBelow(const char* root, const char* directory) {
  char path[512];
  snprintf(path, sizeof path, "%s%s/stele-vm-test", root, directory);
  int old = access(path, F_OK) == 0;
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const char* result = "ok";
  if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0) result = strerrorname_np(errno);
  printf("write %s %s%s\n", *directory ? directory : "/", result, old ? " existed" : "");
}

_Noreturn static void Write(const char* root) {
  static const char* const kDirectories[] = {"", "/usr", "/usr/bin", "/usr/lib/stele", "/etc", "/var", "/var/lib", "/run", "/tmp"};
  for (size_t i = 0; i < sizeof kDirectories / sizeof *kDirectories; ++i) WriteBelow(root, kDirectories[i]);
  puts("write done");
  while (1) pause();
}

static void Say(const char* doing) { printf("%s: %s\n", doing, strerror(errno)); }

static void WriteFile(const char* root, const char* path, const char* text) {
  char full[512];
  snprintf(full, sizeof full, "%s%s", root, path);
  int fd = open(full, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) Say(full);
  if (fd >= 0) close(fd);
}

// True once, over all boots: a file in /var remembers it.
static int FirstTime(const char* root, const char* what) {
  char path[512];
  snprintf(path, sizeof path, "%s/var/lib/probe-%s", root, what);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0 && errno != EEXIST) Say(path);
  if (fd < 0) return 0;
  fsync(fd);
  close(fd);
  sync();
  return 1;
}

_Noreturn static void Ends(const char* root) {
  if (FirstTime(root, "panic")) {
    puts("panic");
    WriteFile(root, "/proc/sysrq-trigger", "c");
  } else if (FirstTime(root, "stands-still")) {
    puts("stands still");
    WriteFile(root, "/sys/fs/cgroup/init/cgroup.freeze", "1");
  } else {
    puts("stays");
  }
  while (1) pause();
}

int main(int argc, char** argv) {
  // As PID 1 of a pod the default action of SIGTERM is none.
  signal(SIGTERM, End);
  signal(SIGINT, End);
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char* verb = argc > 1 ? argv[1] : "";
  const char* operand = argc > 2 ? argv[2] : "";
  if (strcmp(verb, "tick") == 0) Tick(atol(operand));
  if (strcmp(verb, "stubborn") == 0) return Stubborn(operand);
  if (strcmp(verb, "write") == 0) Write(operand);
  if (strcmp(verb, "ends") == 0) Ends(operand);
  fprintf(stderr, "probe: unknown verb '%s'\n", verb);
  return 2;
}
