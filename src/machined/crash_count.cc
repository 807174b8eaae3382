#include "machined/crash_count.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "base/unique_fd.h"

namespace stele::machined {
namespace {

int crash_file = -1;

// Async-signal-safe. SA_RESETHAND has made the signal's action the default one again: returning meets the same fault,
// and raising is for what was sent.
void OnCrash(int signal) {
  [[maybe_unused]] ssize_t put = ::write(crash_file, "x", 1);
  ::raise(signal);
}

}  // namespace

absl::StatusOr<uint32_t> BeginCrashCount(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!file.ok()) return ErrnoStatus("open ", path);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus("look at ", path);
  crash_file = file.release();  // for as long as this process lives
  struct sigaction action = {};
  action.sa_handler = OnCrash;
  action.sa_flags = SA_RESETHAND | SA_NODEFER;
  for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) {
    if (::sigaction(signal, &action, nullptr) != 0) return ErrnoStatus("handle signal ", signal);
  }
  return static_cast<uint32_t>(info.st_size);
}

}  // namespace stele::machined
