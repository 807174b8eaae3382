// The demonstration pod's program: says that it is alive, once a second, until it is told to stop.
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void OnTerm(int signal) {
  (void)signal;
  stop = 1;
}

int main(void) {
  // As PID 1 of its pod the default action of SIGTERM is to be ignored.
  struct sigaction action = {.sa_handler = OnTerm};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (unsigned long second = 1; !stop; ++second) {
    printf("hello from a pod on Stele, line %lu\n", second);
    sleep(1);
  }
  puts("goodbye");
  return 0;
}
