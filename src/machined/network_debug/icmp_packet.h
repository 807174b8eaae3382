// ICMP of both families as bytes. Pure: what comes from the network is parsed here and nowhere else.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

namespace stele::machined {

inline constexpr size_t kIcmpHeader = 8;

// An echo request: header and `size` bytes that begin with `token`. IPv6's checksum is left to the kernel.
std::string EchoRequest(int family, uint16_t id, uint16_t sequence, size_t size, absl::string_view token);

// A packet that a raw ICMP socket received and that may be about one of ours.
struct IcmpAnswer {
  enum class Kind : uint8_t { kEchoReply, kTimeExceeded, kUnreachable };
  Kind kind = Kind::kEchoReply;
  uint8_t type = 0, code = 0;
  uint32_t mtu = 0;  // of "too large", 0 when it is not told
  uint8_t ttl = 0;   // the packet's own, IPv4 only
  // Of the echo, or of what was sent: errors quote its beginning.
  uint8_t protocol = 0;                            // IPPROTO_ICMP, IPPROTO_ICMPV6 or IPPROTO_UDP
  uint16_t id = 0, sequence = 0;                   // of an echo
  uint16_t source_port = 0, destination_port = 0;  // of UDP
  std::string destination;                         // whom the quoted packet was for; 4 or 16 bytes
  absl::string_view payload;                       // of an echo reply, within the packet
};

// IPv4 packets begin with their IP header, IPv6 ones with ICMPv6's: as the kernel gives them. Nothing for what is
// neither an echo reply nor an error about an echo request or UDP, or is broken.
absl::optional<IcmpAnswer> ParseIcmp(int family, absl::string_view packet);

// "host unreachable", "too large: the next link takes 1280 bytes".
std::string IcmpErrorText(int family, const IcmpAnswer& answer);

// The sum of RFC 1071: 0 over what carries its own checksum and is whole.
uint16_t InternetChecksum(absl::string_view bytes);

}  // namespace stele::machined
