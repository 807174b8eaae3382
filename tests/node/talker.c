/* A service that tests stand in for one of the image's: writes numbered lines for ever.
 *
 * It reads how from /etc/talker: "PAUSE_US BURST", default "2000 1". Each line is "line N", N from 1,
 * counted on over restarts of the program never: a test wants to see every number once. It has the
 * socket by which machined knows that a device manager is ready. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void listen_as_udevd(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, "/run/udev/control");
  mkdir("/run/udev", 0755);
  unlink(address.sun_path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 128) != 0) perror("/run/udev/control");
}

int main(void) {
  listen_as_udevd();
  unsigned pause_us = 2000, burst = 1;
  FILE* how = fopen("/etc/talker", "r");
  if (how) {
    if (fscanf(how, "%u %u", &pause_us, &burst) < 1) pause_us = 2000;
    fclose(how);
  }
  unsigned long n = 0;
  char line[64];
  for (;;) {
    for (unsigned i = 0; i < burst; ++i) {
      int size = snprintf(line, sizeof line, "line %lu\n", ++n);
      if (write(1, line, size) != size) return 1;
    }
    usleep(pause_us);
  }
}
