// Where a node is: what a person writes, and what a socket needs.
#pragma once

#include <sys/socket.h>

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::osctl {

inline constexpr uint16_t kDefaultPort = 50000;

struct Address {
  std::string host;  // an IPv4 or IPv6 literal without brackets, or a DNS name
  uint16_t port = kDefaultPort;

  // "10.0.0.1", "node-1:50001", "[::1]:50000": without the port where it is the default one.
  std::string Text() const;
};

// HOST, HOST:PORT, an IPv6 address with or without brackets.
absl::StatusOr<Address> ParseAddress(absl::string_view text);

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  // "10.0.0.1:50000", "[::1]:50000".
  std::string Text() const;
};

// The host's addresses, at least one. Literals need nothing of the system. Names are looked up with
// c-ares (/etc/hosts, then DNS): getaddrinfo of a static program would load the host's NSS modules,
// which belong to another libc.
absl::StatusOr<std::vector<SocketAddress>> Resolve(const Address& address, absl::Duration timeout);

}  // namespace stele::osctl
