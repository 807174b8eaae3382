#include "base/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "base/posix_spawn.h"

namespace stele {
namespace {

constexpr size_t kMaxInput = 4096, kMaxErrors = 4096, kPiece = 256 * 1024;

struct Pipe {
  UniqueFd read, write;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("make a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(duration), 0, 3'600'000));
}

}  // namespace

absl::StatusOr<ChildProcess> ChildProcess::Start(const std::vector<std::string>& argv,
                                                 const std::vector<std::string>& env, absl::string_view input) {
  if (input.size() > kMaxInput) return absl::InvalidArgumentError("more than 4 KiB of input");
  ASSIGN_OR_RETURN(Pipe in, MakePipe());
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  // An empty pipe takes that much without waiting for a reader.
  if (::write(in.write.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
    return ErrnoStatus("run ", argv[0], ": give it its input");
  in.write.reset();
  for (int fd : {out.read.get(), err.read.get()}) {
    if (::fcntl(fd, F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus("run ", argv[0], ": set up a pipe");
  }
  ChildProcess child;
  ASSIGN_OR_RETURN(child.pid_, PosixSpawn(argv, env, {in.read.get(), out.write.get(), err.write.get()}));
  child.output_ = std::move(out.read);
  child.errors_ = std::move(err.read);
  // Nobody else reaps our children, so the pid is still this one's.
  child.pidfd_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, child.pid_, 0)));
  if (!child.pidfd_.ok()) return ErrnoStatus("run ", argv[0], ": open its pidfd");
  return child;
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      output_(std::move(other.output_)),
      errors_(std::move(other.errors_)),
      error_text_(std::move(other.error_text_)) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this == &other) return *this;
  Kill();
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::move(other.pidfd_);
  output_ = std::move(other.output_);
  errors_ = std::move(other.errors_);
  error_text_ = std::move(other.error_text_);
  return *this;
}

void ChildProcess::TakeErrors() {
  char buffer[1024];
  ssize_t got = 0;
  while (errors_.ok() && (got = ::read(errors_.get(), buffer, sizeof buffer)) > 0) {
    error_text_.append(buffer, got);
    if (error_text_.size() > kMaxErrors) error_text_.erase(0, error_text_.size() - kMaxErrors);
  }
  if (got == 0) errors_.reset();
}

absl::StatusOr<std::string> ChildProcess::Read(absl::Duration patience) {
  absl::Time deadline = absl::Now() + patience;
  std::string bytes;
  while (output_.ok()) {
    // A reset descriptor is -1, which poll passes over.
    pollfd watched[2] = {{.fd = output_.get(), .events = POLLIN}, {.fd = errors_.get(), .events = POLLIN}};
    int ready = ::poll(watched, 2, Milliseconds(deadline - absl::Now()));
    if (ready < 0 && errno != EINTR) return ErrnoStatus("wait for a program's output");
    if (ready == 0) return absl::DeadlineExceededError("nothing came");
    // Also when only errors came: a full pipe would hold the program.
    TakeErrors();
    bytes.resize(kPiece);
    ssize_t got = ::read(output_.get(), bytes.data(), bytes.size());
    if (got < 0 && errno != EAGAIN && errno != EINTR) return ErrnoStatus("read a program's output");
    bytes.resize(std::max<ssize_t>(got, 0));
    if (got > 0) return bytes;
    if (got == 0) output_.reset();
  }
  return bytes;
}

ChildProcess::End ChildProcess::Wait(absl::Duration patience) {
  End end;
  if (pid_ < 0) return end;
  absl::Time deadline = absl::Now() + patience;
  // It may wait for us to read.
  while (true) {
    pollfd watched[2] = {{.fd = pidfd_.get(), .events = POLLIN}, {.fd = errors_.get(), .events = POLLIN}};
    int ready = ::poll(watched, 2, Milliseconds(deadline - absl::Now()));
    TakeErrors();
    if ((watched[0].revents & POLLIN) != 0 || ready == 0 || absl::Now() >= deadline) break;
  }
  ::kill(-pid_, SIGKILL);  // no effect on what has ended; its own children go with it
  siginfo_t info = {};
  while (::waitid(P_PID, pid_, &info, WEXITED) != 0 && errno == EINTR) {
  }
  pid_ = -1;
  TakeErrors();
  (info.si_code == CLD_EXITED ? end.exit_code : end.signal) = info.si_status;
  end.errors = error_text_;
  return end;
}

void ChildProcess::Kill() {
  if (pid_ >= 0) Wait(absl::ZeroDuration());
}

}  // namespace stele
