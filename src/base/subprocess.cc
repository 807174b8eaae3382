#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/posix_spawn.h"
#include "base/unique_fd.h"

namespace stele {
namespace {

constexpr size_t kMaxOutput = 64 * 1024;

int MillisecondsUntil(absl::Time deadline) {
  return static_cast<int>(
      std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now() + absl::Milliseconds(1))));
}

// Collects output until the program has ended. False at the deadline. What a grandchild still writes after
// that is not waited for.
bool Collect(int pidfd, int output, absl::Time deadline, std::string* collected) {
  char buffer[4096];
  pollfd watched[2] = {{.fd = output, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
  while (true) {
    int ready = ::poll(watched, 2, MillisecondsUntil(deadline));
    if (ready == 0) return false;
    bool ended = (watched[1].revents & POLLIN) != 0;
    ssize_t got = 0;
    while (watched[0].fd >= 0 && (got = ::read(output, buffer, sizeof buffer)) > 0) {
      collected->append(buffer, std::min<size_t>(got, kMaxOutput - collected->size()));
    }
    if (got == 0) watched[0].fd = -1;  // closed: poll ignores it
    if (ended) return true;
  }
}

}  // namespace

absl::StatusOr<SubprocessResult> RunSubprocess(const std::vector<std::string>& argv,
                                               const std::vector<std::string>& env, absl::Duration timeout) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("run ", argv[0], ": make a pipe");
  UniqueFd out(ends[0]), in(ends[1]);
  if (::fcntl(out.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus("run ", argv[0], ": set up a pipe");
  absl::Time deadline = absl::Now() + timeout;
  ASSIGN_OR_RETURN(pid_t pid, PosixSpawn(argv, env, {.output = in.get(), .error = in.get()}));
  in.reset();
  // Nobody else reaps our children, so the pid is still this one's.
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  SubprocessResult result;
  bool in_time = pidfd.ok() && Collect(pidfd.get(), out.get(), deadline, &result.output);
  if (!in_time) ::kill(-pid, SIGKILL);
  siginfo_t info = {};
  while (::waitid(P_PID, pid, &info, WEXITED) != 0 && errno == EINTR) {
  }
  if (!in_time)
    return absl::DeadlineExceededError(absl::StrCat(argv[0], ": did not end within ", absl::FormatDuration(timeout)));
  (info.si_code == CLD_EXITED ? result.exit_code : result.signal) = info.si_status;
  return result;
}

absl::Status RunChecked(const std::vector<std::string>& argv, const std::vector<std::string>& env,
                        absl::Duration timeout) {
  ASSIGN_OR_RETURN(SubprocessResult result, RunSubprocess(argv, env, timeout));
  if (result.exit_code == 0 && result.signal == 0) return absl::OkStatus();
  absl::string_view told = absl::StripTrailingAsciiWhitespace(result.output);
  if (told.size() > 500) told.remove_prefix(told.size() - 500);
  return absl::InternalError(absl::StrCat(argv[0], ": ", result.signal != 0 ? "signal " : "exit ",
                                          result.signal != 0 ? result.signal : result.exit_code,
                                          told.empty() ? "" : ": ", told));
}

}  // namespace stele
