// Addresses and networks as text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace stele::config {

struct Network {
  bool ipv6 = false;
  std::array<uint8_t, 16> bytes = {};  // the first four where IPv4
  int prefix = 0;
};

bool IsAddress4(absl::string_view text);
bool IsAddress6(absl::string_view text);
inline bool IsAddress(absl::string_view text) { return IsAddress4(text) || IsAddress6(text); }

// "192.0.2.10/24", with the address as written.
std::optional<Network> ParseNetwork(absl::string_view text);
// An address alone, as a network of its full length.
std::optional<Network> ParseAddress(absl::string_view text);
// Whether `inner` lies within `outer`.
bool Contains(const Network& outer, const Network& inner);

// What is wrong with an address (with its prefix length) that a link is to have; empty when nothing is.
std::string CheckInterfaceAddress(absl::string_view text);

}  // namespace stele::config
