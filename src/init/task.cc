#include "init/task.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "init/log.h"

namespace stele::init {

namespace {

// Closes all from 3 on but `kept`, some of which may be -1.
void CloseAllBut(int first_kept, int second_kept) {
  unsigned from = 3;
  auto low = std::min(first_kept, second_kept), high = std::max(first_kept, second_kept);
  for (int kept : {low, high}) {
    if (kept < static_cast<int>(from)) continue;
    auto fd = static_cast<unsigned>(kept);
    if (fd > from) ::syscall(SYS_close_range, from, fd - 1, 0u);
    from = fd + 1;
  }
  ::syscall(SYS_close_range, from, ~0u, 0u);
}

}  // namespace

pid_t StartTask(int (*work)(uint64_t argument), uint64_t argument, int kept) {
  clone_args arguments = {};
  arguments.flags = CLONE_CLEAR_SIGHAND;  // its crash is not init's
  arguments.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return -errno;
  if (pid > 0) return static_cast<pid_t>(pid);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // It may outlive what it was forked from: it must hold no other pipe and no socket open.
  CloseAllBut(LogDescriptor(), kept);
  ::_exit(work(argument));
}

}  // namespace stele::init
