// Addresses as sockets take them, and where a socket sends from.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::machined {

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  int family() const { return storage.ss_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  // The address' 4 or 16 bytes.
  std::string bytes() const;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  // "192.0.2.1", "fe80::1%eth0".
  std::string Text() const;
  // "192.0.2.1:53", "[fe80::1%eth0]:53".
  std::string TextWithPort() const;
};

// `bytes` has 4 or 16.
SocketAddress AddressFromBytes(absl::string_view bytes, uint16_t port);
// An IPv4 or IPv6 address, the latter with or without %INTERFACE. INVALID_ARGUMENT for anything else.
absl::StatusOr<SocketAddress> ParseAddress(absl::string_view text, uint16_t port);

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};
// "HOST:PORT", "[ADDRESS]:PORT"; without a port it is `default_port`, unless that is 0: then it must be there.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text, uint16_t default_port);

// Where packets leave from: nothing, one of the node's addresses, or an interface.
class Source {
 public:
  Source() = default;
  // NOT_FOUND for an interface that is not there.
  static absl::StatusOr<Source> Parse(const std::string& text);

  // AF_UNSPEC unless an address says.
  int family() const { return address_.family(); }
  // Binds a socket that was just made.
  absl::Status Apply(int fd, int family) const;

 private:
  std::string interface_;
  SocketAddress address_;
};

}  // namespace stele::machined
