/* A service that tests stand in for one of the image's: writes numbered lines for ever.
 *
 * It reads how from /etc/talker: "PAUSE_US BURST", default "2000 1". Each line is "line N", N from 1,
 * counted on over restarts of the program never: a test wants to see every number once. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
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
