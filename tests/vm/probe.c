// What runs in the pods of the VM tests. One verb an argument list, numbered lines on standard output.
//
//   probe tick MILLISECONDS         "tick N" for ever (0: as fast as the log takes them), and ends on SIGTERM
//   probe stubborn DIRECTORY        ignores SIGTERM, holds an open file and its working directory there
//   probe write ROOT                tries to create files below ROOT and says what became of each; then stays
//   probe ends ROOT                 ends the machine below ROOT, one way a boot: a panic; init stands still; then stays
//   probe keep DIRECTORY            adds a file of 64 KiB at each start, says whether those of the starts before are
//                                   whole, and then writes down its beats, synced, until it is killed
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
  static const char* const kDirectories[] = {"",         "/usr", "/usr/bin", "/usr/lib/stele", "/etc", "/var",
                                             "/var/lib", "/run", "/tmp"};
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

enum { kKeptSize = 64 << 10 };

static void FillKept(unsigned long start, unsigned* words) {
  unsigned value = (unsigned)start * 2654435761u;
  for (size_t i = 0; i < kKeptSize / sizeof *words; ++i) words[i] = value = value * 1664525u + 1013904223u;
}

// 1: whole; 0: there is none; -1: damaged.
static int CheckKept(const char* path, unsigned long start) {
  static unsigned expected[kKeptSize / sizeof(unsigned)], found[kKeptSize / sizeof(unsigned) + 1];
  int fd = open(path, O_RDONLY);
  if (fd < 0) return errno == ENOENT ? 0 : -1;
  FillKept(start, expected);
  ssize_t size = read(fd, found, sizeof found);
  close(fd);
  return size == kKeptSize && memcmp(expected, found, kKeptSize) == 0 ? 1 : -1;
}

static int WriteKept(int directory, const char* path, unsigned long start) {
  static unsigned words[kKeptSize / sizeof(unsigned)];
  FillKept(start, words);
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0 || write(fd, words, sizeof words) != sizeof words || fsync(fd) != 0 || fsync(directory) != 0) return -1;
  return close(fd);
}

static int Keep(const char* directory) {
  int folder = mkdir(directory, 0700) == 0 || errno == EEXIST ? open(directory, O_RDONLY | O_DIRECTORY) : -1;
  if (folder < 0 || fchdir(folder) != 0) {
    printf("keep %s: %s\n", directory, strerror(errno));
    return 1;
  }
  unsigned long start = 1, damaged = 0, beats = 0;
  char path[64];
  for (;; ++start) {
    snprintf(path, sizeof path, "start-%lu", start);
    int whole = CheckKept(path, start);
    if (whole == 0) break;
    damaged += whole < 0;
  }
  // The size never changes: what grows is told by the starts alone.
  int beat = open("beats", O_RDWR | O_CREAT, 0600);
  if (beat < 0 || pread(beat, &beats, sizeof beats, 0) < 0 || WriteKept(folder, path, start) != 0) {
    printf("keep %s: %s\n", path, strerror(errno));
    return 1;
  }
  printf("keep start %lu, damaged %lu, beats before %lu\n", start, damaged, beats);
  for (;; Sleep(100)) {
    ++beats;
    if (pwrite(beat, &beats, sizeof beats, 0) != sizeof beats || fdatasync(beat) != 0)
      printf("keep beats: %s\n", strerror(errno));
  }
}

// One line of a file, then nothing until the end.
_Noreturn static void Show(const char* path) {
  char text[256] = "";
  int fd = open(path, O_RDONLY);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  printf("show %s: %s\n", path, size < 0 ? strerror(errno) : text);
  for (;;) pause();
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
  if (strcmp(verb, "keep") == 0) return Keep(operand);
  if (strcmp(verb, "show") == 0) Show(operand);
  fprintf(stderr, "probe: unknown verb '%s'\n", verb);
  return 2;
}
