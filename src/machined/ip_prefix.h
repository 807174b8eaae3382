// An IP address with a prefix length, as people write it and as netlink carries it.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::machined {

struct IpPrefix {
  int family = AF_INET;
  std::string bytes;  // 4 or 16, network order; empty: the default route's destination
  uint8_t length = 0;

  bool operator==(const IpPrefix& other) const {
    return family == other.family && bytes == other.bytes && length == other.length;
  }
};

// "192.0.2.1/24", "2001:db8::1/64"; without a length it is the whole address. INVALID_ARGUMENT
// says what is wrong.
absl::StatusOr<IpPrefix> ParseIpPrefix(absl::string_view text);
// With the bits after the length cleared: what a route's destination must be.
IpPrefix NetworkOf(IpPrefix prefix);
// Canonical: the same prefix has one text.
std::string FormatIpPrefix(const IpPrefix& prefix);
// The address alone. `bytes` has 4 or 16.
std::string FormatIpAddress(absl::string_view bytes);
// 4 or 16 bytes.
absl::StatusOr<std::string> ParseIpAddress(absl::string_view text);

}  // namespace stele::machined
