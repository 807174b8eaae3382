#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>

#include "applets/applets.h"

namespace stele::applets {
namespace {

constexpr int kDefaultGraceMs = 5000;

int64_t NowMs() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

void ReapAll() {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

// Whether anybody but us is in the namespace: who joined it is not our child.
bool Alone() { return ::kill(-1, 0) != 0 && errno == ESRCH; }

}  // namespace

// reaper [--grace-ms N]. The kernel kills what is left when PID 1 of the namespace exits, and with
// it go the namespace's mounts.
int ReaperMain(int argc, char** argv) {
  int64_t grace = kDefaultGraceMs;
  if (argc == 3 && strcmp(argv[1], "--grace-ms") == 0) grace = strtol(argv[2], nullptr, 10);
  if (::getpid() != 1) {
    fprintf(stderr, "reaper: runs as process 1 of a namespace\n");
    return 1;
  }
  sigset_t wanted;
  sigemptyset(&wanted);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&wanted, signal);
  ::sigprocmask(SIG_BLOCK, &wanted, nullptr);
  int64_t deadline = -1;  // no end was asked for
  while (true) {
    ReapAll();
    int64_t left = deadline < 0 ? 60'000 : deadline - NowMs();
    if (deadline >= 0 && (left <= 0 || Alone())) return 0;
    // Who joined ends without a signal for us, so look again soon.
    if (deadline >= 0 && left > 50) left = 50;
    timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1'000'000};
    int signal = ::sigtimedwait(&wanted, nullptr, &wait);
    if ((signal == SIGTERM || signal == SIGINT) && deadline < 0) {
      deadline = NowMs() + grace;
      ::kill(-1, SIGTERM);
      ::kill(-1, SIGCONT);  // a stopped process cannot end
    }
  }
}

}  // namespace stele::applets
