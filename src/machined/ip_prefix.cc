#include "machined/ip_prefix.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace stele::machined {

absl::StatusOr<std::string> ParseIpAddress(absl::string_view text) {
  std::string copy(text);
  for (int family : {AF_INET, AF_INET6}) {
    std::string bytes(family == AF_INET ? 4 : 16, '\0');
    if (copy.find('\0') == std::string::npos && ::inet_pton(family, copy.c_str(), bytes.data()) == 1) return bytes;
  }
  return absl::InvalidArgumentError(absl::StrCat("not an IP address: \"", text, "\""));
}

absl::StatusOr<IpPrefix> ParseIpPrefix(absl::string_view text) {
  size_t slash = text.find('/');
  ASSIGN_OR_RETURN(std::string bytes, ParseIpAddress(text.substr(0, slash)));
  unsigned most = static_cast<unsigned>(bytes.size()) * 8;
  unsigned length = most;
  if (slash != absl::string_view::npos && (!absl::SimpleAtoi(text.substr(slash + 1), &length) || length > most)) {
    return absl::InvalidArgumentError(absl::StrCat("not a prefix length from 0 to ", most, ": \"", text, "\""));
  }
  return IpPrefix{most == 32 ? AF_INET : AF_INET6, std::move(bytes), static_cast<uint8_t>(length)};
}

IpPrefix NetworkOf(IpPrefix prefix) {
  for (size_t bit = prefix.length; bit < prefix.bytes.size() * 8; ++bit) {
    prefix.bytes[bit / 8] = static_cast<char>(prefix.bytes[bit / 8] & ~(0x80 >> (bit % 8)));
  }
  return prefix;
}

std::string FormatIpAddress(absl::string_view bytes) {
  if (bytes.size() != 4 && bytes.size() != 16) return "";
  char text[INET6_ADDRSTRLEN];
  ::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof(text));
  return text;
}

std::string FormatIpPrefix(const IpPrefix& prefix) {
  return absl::StrCat(FormatIpAddress(prefix.bytes), "/", prefix.length);
}

}  // namespace stele::machined
