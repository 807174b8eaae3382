#include "config/check_address.h"

#include <arpa/inet.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace stele::config {
namespace {

std::optional<Network> Parse(absl::string_view text, int family) {
  Network network;
  network.ipv6 = family == AF_INET6;
  network.prefix = network.ipv6 ? 128 : 32;
  if (inet_pton(family, std::string(text).c_str(), network.bytes.data()) != 1) return std::nullopt;
  return network;
}

}  // namespace

bool IsAddress4(absl::string_view text) { return Parse(text, AF_INET).has_value(); }
bool IsAddress6(absl::string_view text) { return Parse(text, AF_INET6).has_value(); }

std::optional<Network> ParseAddress(absl::string_view text) {
  std::optional<Network> network = Parse(text, AF_INET);
  return network.has_value() ? network : Parse(text, AF_INET6);
}

std::optional<Network> ParseNetwork(absl::string_view text) {
  size_t slash = text.find('/');
  if (slash == absl::string_view::npos) return std::nullopt;
  std::optional<Network> network = ParseAddress(text.substr(0, slash));
  absl::string_view prefix = text.substr(slash + 1);
  bool digits = !prefix.empty() && prefix.size() <= 3 && std::all_of(prefix.begin(), prefix.end(), absl::ascii_isdigit);
  int length = 0;
  if (!network.has_value() || !digits || !absl::SimpleAtoi(prefix, &length) || length > network->prefix)
    return std::nullopt;
  network->prefix = length;
  return network;
}

bool Contains(const Network& outer, const Network& inner) {
  if (outer.ipv6 != inner.ipv6 || inner.prefix < outer.prefix) return false;
  for (int bit = 0; bit < outer.prefix; ++bit) {
    int mask = 0x80 >> bit % 8;
    if ((outer.bytes[bit / 8] & mask) != (inner.bytes[bit / 8] & mask)) return false;
  }
  return true;
}

std::string CheckInterfaceAddress(absl::string_view text) {
  std::optional<Network> network = ParseNetwork(text);
  if (!network.has_value()) return "expected an address with its prefix length, such as 192.0.2.10/24";
  static const char* const kNotHosts[] = {"0.0.0.0/8",   "127.0.0.0/8", "224.0.0.0/4",
                                          "240.0.0.0/4", "::/127",      "ff00::/8"};
  Network address = *network;
  address.prefix = network->ipv6 ? 128 : 32;
  for (const char* reserved : kNotHosts) {
    if (Contains(*ParseNetwork(reserved), address)) return "no link can have this address: it is reserved";
  }
  if (network->prefix == 0) return "the prefix length must not be 0";
  return "";
}

}  // namespace stele::config
