// apid: mTLS, authorisation and limits in front of machined.
//
//   apid [--keys DIRECTORY] [--machined SOCKET]
//
// The listening socket comes from init as descriptor 3 (LISTEN_FDS). keys.h says what DIRECTORY holds; it may come, and
// change, while apid runs.
#include <fcntl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "absl/strings/numbers.h"
#include "apid/audit.h"
#include "apid/keys.h"
#include "apid/sandbox.h"
#include "apid/server.h"

namespace stele {
namespace {

constexpr int kListenFd = 3;

struct Options {
  std::string keys = "/run/stele/apid";
  std::string machined = "/run/stele/machined.sock";
};

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    absl::string_view flag = argv[i];
    std::string* value = flag == "--keys" ? &options.keys : flag == "--machined" ? &options.machined : nullptr;
    if (value == nullptr || i + 1 == argc) {
      return absl::InvalidArgumentError(absl::StrCat("use: apid [--keys DIRECTORY] [--machined SOCKET]; not ", flag));
    }
    *value = argv[i + 1];
  }
  return options;
}

absl::StatusOr<UniqueFd> TakeListener() {
  const char* count = std::getenv("LISTEN_FDS");
  const char* pid = std::getenv("LISTEN_PID");
  int for_pid = 0;
  if (count == nullptr || absl::string_view(count) != "1" || pid == nullptr || !absl::SimpleAtoi(pid, &for_pid) ||
      for_pid != ::getpid()) {
    return absl::FailedPreconditionError("no listening socket: init passes it as descriptor 3 with LISTEN_FDS=1");
  }
  UniqueFd listener(kListenFd);
  if (::fcntl(kListenFd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(kListenFd, F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus("use the listening socket");
  }
  return listener;
}

absl::StatusOr<UniqueFd> StopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (::sigprocmask(SIG_BLOCK, &signals, nullptr) != 0) return ErrnoStatus("block signals");
  ::signal(SIGPIPE, SIG_IGN);  // a log that nobody reads any more is no reason to end
  UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus("receive signals");
  return fd;
}

absl::Status Run(int argc, char** argv) {
  ASSIGN_OR_RETURN(Options options, ParseOptions(argc, argv));
  ASSIGN_OR_RETURN(UniqueFd listener, TakeListener());
  ASSIGN_OR_RETURN(UniqueFd stop, StopSignals());
  ASSIGN_OR_RETURN(EventLoop loop, EventLoop::Create());
  Audit audit(STDOUT_FILENO);
  ASSIGN_OR_RETURN(std::unique_ptr<Keys> keys, Keys::Watch(loop, audit, options.keys));
  ::tzset();  // reads /etc/localtime, at the latest when the first date is printed; later it could not
  RETURN_IF_ERROR(EnterSandbox(options.keys));
  Server server(loop, *keys, audit, options.machined, std::move(listener), std::move(stop));
  return server.Run();
}

}  // namespace
}  // namespace stele

int main(int argc, char** argv) {
  absl::Status status = stele::Run(argc, argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "apid: %s\n", std::string(status.message()).c_str());
  return 1;
}
