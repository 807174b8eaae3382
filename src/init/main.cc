// init: PID 1 of the node, in two stages.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "init/crash.h"
#include "init/first_stage.h"
#include "init/second_stage.h"

namespace {

// Whoever started us may have had signals ignored, which children would inherit, or none of 0, 1
// and 2 open, which our own descriptors would then become.
void Normalize() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) ::signal(signal, SIG_DFL);
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int fd;
  while ((fd = ::open("/", O_PATH)) >= 0 && fd <= 2) {
  }
  if (fd >= 0) ::close(fd);
}

}  // namespace

namespace __gnu_cxx {
// Instead of the library's, which would print a demangled name and brings 60 KB for it: the crash
// handler says more.
void __verbose_terminate_handler() { ::abort(); }
}  // namespace __gnu_cxx

// What takes the place of the streams' start-up (CMakeLists.txt).
extern "C" void InitHasNoStreams() {}

int main() {
  if (::getpid() != 1) {
    fprintf(stderr, "init: runs as process 1 only: of a machine, or under unshare --pid --fork --mount\n");
    return 1;
  }
  Normalize();
  stele::init::InstallCrashHandler();
  if (stele::init::InInitramfs()) {
    absl::Status status = stele::init::RunFirstStage();
    stele::init::GiveUp(std::string(status.message()).c_str());
  }
  stele::init::RunSecondStage();
}
