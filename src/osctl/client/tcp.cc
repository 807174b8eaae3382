#include "osctl/client/tcp.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "absl/time/clock.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

int MillisecondsUntil(absl::Time deadline) {
  return static_cast<int>(std::max<int64_t>(0, absl::ToInt64Milliseconds(deadline - absl::Now())));
}

absl::StatusOr<UniqueFd> ConnectTcp(const SocketAddress& address, absl::Time deadline) {
  UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("make a socket");
  auto failed = [&](int error) {
    std::string why = absl::StrCat("connect to ", address.Text(), ": ", strerror(error));
    if (error == ECONNREFUSED) {
      return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable, why,
                     "the machine is up, but its API is not: wait, or check the port");
    }
    return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable, why, "check the address and the network");
  };
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    if (errno != EINPROGRESS) return failed(errno);
    RETURN_IF_ERROR(
        AwaitEvent(fd.get(), POLLOUT, deadline, absl::StrCat("connect to ", address.Text(), ": no answer")));
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return failed(error);
  }
  return fd;
}

}  // namespace

absl::Status AwaitEvent(int fd, short events, absl::Time deadline, absl::string_view what) {
  pollfd poll_fd = {fd, events, 0};
  int ready = ::poll(&poll_fd, 1, MillisecondsUntil(deadline));
  if (ready > 0) return absl::OkStatus();
  return absl::DeadlineExceededError(what);
}

absl::StatusOr<TcpConnection> ConnectAny(const std::vector<SocketAddress>& addresses, absl::Time deadline) {
  absl::Status last = absl::UnavailableError("no address");
  for (size_t i = 0; i < addresses.size(); ++i) {
    // What is left is shared, so that a silent first address does not use up the others' time.
    absl::Time turn = absl::Now() + (deadline - absl::Now()) / static_cast<int64_t>(addresses.size() - i);
    absl::StatusOr<UniqueFd> fd = ConnectTcp(addresses[i], turn);
    if (fd.ok()) return TcpConnection{*std::move(fd), i};
    last = fd.status();
  }
  return last;
}

}  // namespace stele::osctl
