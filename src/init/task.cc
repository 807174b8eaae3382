#include "init/task.h"

#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "init/log.h"

namespace stele::init {

pid_t StartTask(int (*work)(uint64_t argument), uint64_t argument) {
  clone_args arguments = {};
  arguments.flags = CLONE_CLEAR_SIGHAND;  // its crash is not init's
  arguments.exit_signal = SIGCHLD;
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return -errno;
  if (pid > 0) return static_cast<pid_t>(pid);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // It may outlive what it was forked from: it must hold no pipe and no socket open.
  auto log = static_cast<unsigned>(LogDescriptor());
  if (log > 3) ::syscall(SYS_close_range, 3u, log - 1, 0u);
  ::syscall(SYS_close_range, log < 3 ? 3u : log + 1, ~0u, 0u);
  ::_exit(work(argument));
}

}  // namespace stele::init
