// A raw socket for ICMP of one family: hears echo replies and errors, sends echo requests.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/network_debug/socket_address.h"

namespace stele::machined {

class IcmpSocket {
 public:
  static absl::StatusOr<IcmpSocket> Open(int family, const Source& source);

  int fd() const { return fd_.get(); }
  int family() const { return family_; }

  // How many routers the next packets may pass.
  absl::Status SetTtl(int ttl);
  // Never taken apart on the way; otherwise always where a link needs it.
  absl::Status SetDontFragment(bool dont_fragment);
  absl::Status Send(absl::string_view packet, const SocketAddress& to);

  struct Packet {
    absl::string_view bytes;  // in the socket's buffer, until the next Receive
    SocketAddress from;
    uint8_t ttl = 0;  // IPv6 only: IPv4's is in the packet
  };
  // What is there already; false: nothing (more).
  bool Receive(Packet* packet);

 private:
  IcmpSocket(UniqueFd fd, int family) : fd_(std::move(fd)), family_(family), buffer_(kBuffer, '\0') {}
  static constexpr size_t kBuffer = 65'535;
  UniqueFd fd_;
  int family_;
  std::string buffer_;
};

}  // namespace stele::machined
