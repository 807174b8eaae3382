// A client's address.
#pragma once

#include <sys/socket.h>

#include <string>

namespace stele {

// An address as people write it, and the key that the cap per source counts by.
struct Peer {
  std::string text;    // "192.0.2.1:4242", "[2001:db8::1]:4242"
  std::string source;  // the IPv4 address, or the IPv6 /64
  bool is_loopback = false;
};
Peer PeerOf(const sockaddr_storage& address);

}  // namespace stele
