// TCP by hand: for the diagnosis of a failure, and to choose between an IPv4 and an IPv6 address.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "osctl/client/address.h"

namespace stele::osctl {

// A connected, non-blocking socket to the first address that takes it, and which one that was.
// UNAVAILABLE with the reason, or DEADLINE_EXCEEDED, of the last address otherwise.
struct TcpConnection {
  UniqueFd fd;
  size_t index = 0;
};
absl::StatusOr<TcpConnection> ConnectAny(const std::vector<SocketAddress>& addresses, absl::Time deadline);

// Waits for `events` (poll(2)) on `fd`; DEADLINE_EXCEEDED with `what` when there are none in time.
absl::Status AwaitEvent(int fd, short events, absl::Time deadline, absl::string_view what);

}  // namespace stele::osctl
