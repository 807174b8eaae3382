// What memory a node uses while something happens on it, looked at from a privileged pod that has the node's root below
// /host.
//
//   node-meter MILLISECONDS GROUP…    until standard input ends; then one JSON object on standard output
//
// For each quantity the first value and the greatest one, in bytes. "used" is MemTotal - MemAvailable: what could not
// be given to somebody else without swapping; page cache that can be dropped is in "Cached". A group's "current" counts
// its cache too, "anon" is what its processes allocated, "peak" is the kernel's own, from the start of this program.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GROUPS "/host/sys/fs/cgroup/"

typedef struct {
  char name[160];
  long long first, most;
} Quantity;

static Quantity quantities[64];
static int count;

static void Note(const char* name, long long value) {
  int i = 0;
  while (i < count && strcmp(quantities[i].name, name) != 0) ++i;
  if (i == 64) exit(1);
  Quantity* it = &quantities[i];
  if (i == count) {
    ++count;
    snprintf(it->name, sizeof it->name, "%s", name);
    it->first = it->most = value;
  }
  if (value > it->most) it->most = value;
}

static int ReadAll(int fd, char* text, size_t size) {
  ssize_t got = pread(fd, text, size - 1, 0);
  if (got < 0) return 0;
  text[got] = '\0';
  return 1;
}

static int ReadFile(const char* path, char* text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  int done = ReadAll(fd, text, size);
  close(fd);
  return done;
}

// The number behind `key` at the beginning of a line.
static long long Field(const char* text, const char* key) {
  for (const char* line = text; line != NULL; line = strchr(line, '\n')) {
    if (*line == '\n') ++line;
    if (strncmp(line, key, strlen(key)) == 0) return strtoll(line + strlen(key), NULL, 10);
  }
  return 0;
}

static void LookAtNode(void) {
  static char text[8192];
  if (!ReadFile("/host/proc/meminfo", text, sizeof text)) return;
  Note("used", (Field(text, "MemTotal:") - Field(text, "MemAvailable:")) * 1024);
  Note("anon", Field(text, "AnonPages:") * 1024);
  Note("slab", Field(text, "SUnreclaim:") * 1024);
  Note("dirty", (Field(text, "Dirty:") + Field(text, "Writeback:")) * 1024);
  Note("cached", (Field(text, "Cached:") + Field(text, "Buffers:")) * 1024);
}

static void LookAtGroup(const char* group, int peak) {
  static char text[8192], path[300], name[160];
  snprintf(path, sizeof path, GROUPS "%s/memory.current", group);
  snprintf(name, sizeof name, "%s current", group);
  if (ReadFile(path, text, sizeof text)) Note(name, strtoll(text, NULL, 10));
  snprintf(path, sizeof path, GROUPS "%s/memory.stat", group);
  if (ReadFile(path, text, sizeof text)) {
    snprintf(name, sizeof name, "%s anon", group);
    Note(name, Field(text, "anon "));
    snprintf(name, sizeof name, "%s kernel", group);
    Note(name, Field(text, "kernel "));
    snprintf(name, sizeof name, "%s sock", group);
    Note(name, Field(text, "sock "));
  }
  snprintf(name, sizeof name, "%s peak", group);
  if (peak >= 0 && ReadAll(peak, text, sizeof text)) Note(name, strtoll(text, NULL, 10));
}

int main(int argc, char** argv) {
  int peaks[16];
  if (argc < 3 || argc > 18) return 2;
  for (int i = 2; i < argc; ++i) {
    char path[300];
    snprintf(path, sizeof path, GROUPS "%s/memory.peak", argv[i]);
    // A write begins the peak anew, for this descriptor alone (Linux 6.12).
    peaks[i - 2] = open(path, O_RDWR | O_CLOEXEC);
    if (peaks[i - 2] >= 0 && write(peaks[i - 2], "reset", 5) != 5) peaks[i - 2] = -1;
  }
  struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
  do {
    LookAtNode();
    for (int i = 2; i < argc; ++i) LookAtGroup(argv[i], peaks[i - 2]);
  } while (poll(&in, 1, atoi(argv[1])) == 0);
  printf("{");
  for (int i = 0; i < count; ++i) {
    printf("%s\"%s\": {\"first\": %lld, \"most\": %lld}", i > 0 ? ", " : "", quantities[i].name, quantities[i].first,
           quantities[i].most);
  }
  printf("}\n");
  return 0;
}
