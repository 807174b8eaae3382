#include "machined/network_debug/socket_address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

const sockaddr_in* V4(const SocketAddress& address) { return reinterpret_cast<const sockaddr_in*>(&address.storage); }
const sockaddr_in6* V6(const SocketAddress& address) { return reinterpret_cast<const sockaddr_in6*>(&address.storage); }

}  // namespace

uint16_t SocketAddress::port() const { return ntohs(family() == AF_INET ? V4(*this)->sin_port : V6(*this)->sin6_port); }

void SocketAddress::set_port(uint16_t port) {
  if (family() == AF_INET) reinterpret_cast<sockaddr_in*>(&storage)->sin_port = htons(port);
  if (family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port = htons(port);
}

std::string SocketAddress::bytes() const {
  if (family() == AF_INET) return std::string(reinterpret_cast<const char*>(&V4(*this)->sin_addr), 4);
  return std::string(reinterpret_cast<const char*>(&V6(*this)->sin6_addr), 16);
}

std::string SocketAddress::Text() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    ::inet_ntop(AF_INET, &V4(*this)->sin_addr, text, sizeof text);
    return text;
  }
  ::inet_ntop(AF_INET6, &V6(*this)->sin6_addr, text, sizeof text);
  char name[IF_NAMESIZE];
  uint32_t scope = V6(*this)->sin6_scope_id;
  if (scope == 0) return text;
  if (::if_indextoname(scope, name) == nullptr) return absl::StrCat(text, "%", scope);
  return absl::StrCat(text, "%", name);
}

std::string SocketAddress::TextWithPort() const {
  if (family() == AF_INET) return absl::StrCat(Text(), ":", port());
  return absl::StrCat("[", Text(), "]:", port());
}

SocketAddress AddressFromBytes(absl::string_view bytes, uint16_t port) {
  SocketAddress address;
  if (bytes.size() == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
    v4->sin_family = AF_INET;
    std::memcpy(&v4->sin_addr, bytes.data(), 4);
    address.size = sizeof *v4;
  } else if (bytes.size() == 16) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
    v6->sin6_family = AF_INET6;
    std::memcpy(&v6->sin6_addr, bytes.data(), 16);
    address.size = sizeof *v6;
  }
  address.set_port(port);
  return address;
}

absl::StatusOr<SocketAddress> ParseAddress(absl::string_view text, uint16_t port) {
  std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits('%', 1));
  char bytes[16];
  if (parts.second.empty() && ::inet_pton(AF_INET, parts.first.c_str(), bytes) == 1) {
    return AddressFromBytes({bytes, 4}, port);
  }
  if (::inet_pton(AF_INET6, parts.first.c_str(), bytes) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(text, ": not an address"));
  }
  SocketAddress address = AddressFromBytes({bytes, 16}, port);
  if (parts.second.empty()) return address;
  uint32_t index = ::if_nametoindex(parts.second.c_str());
  if (index == 0) return absl::NotFoundError(absl::StrCat(text, ": no interface ", parts.second));
  reinterpret_cast<sockaddr_in6*>(&address.storage)->sin6_scope_id = index;
  return address;
}

absl::StatusOr<HostPort> ParseHostPort(absl::string_view text, uint16_t default_port) {
  auto wrong = [text] {
    return absl::InvalidArgumentError(absl::StrCat(text, ": expected HOST:PORT or [ADDRESS]:PORT"));
  };
  absl::string_view host = text, port;
  bool has_port = false;
  if (!text.empty() && text[0] == '[') {
    size_t end = text.find(']');
    if (end == absl::string_view::npos) return wrong();
    host = text.substr(1, end - 1);
    absl::string_view rest = text.substr(end + 1);
    has_port = !rest.empty();
    if (has_port && rest[0] != ':') return wrong();
    if (has_port) port = rest.substr(1);
  } else if (size_t colon = text.find(':'); colon != absl::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    has_port = true;
  }
  HostPort found = {std::string(host), default_port};
  uint32_t number = 0;
  if (has_port) {
    if (!absl::SimpleAtoi(port, &number) || number == 0 || number > 65535) return wrong();
    found.port = static_cast<uint16_t>(number);
  }
  if (host.empty() || found.port == 0) return wrong();
  return found;
}

absl::StatusOr<Source> Source::Parse(const std::string& text) {
  Source source;
  if (text.empty()) return source;
  absl::StatusOr<SocketAddress> address = ParseAddress(text, 0);
  if (address.ok()) {
    source.address_ = *address;
    return source;
  }
  if (text.size() >= IFNAMSIZ || ::if_nametoindex(text.c_str()) == 0) {
    return absl::NotFoundError(absl::StrCat("source ", text, ": neither an address nor an interface of the node"));
  }
  source.interface_ = text;
  return source;
}

absl::Status Source::Apply(int fd, int family) const {
  if (!interface_.empty()) {
    if (::setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface_.c_str(), interface_.size() + 1) != 0) {
      return ErrnoStatus("send from interface ", interface_);
    }
    return absl::OkStatus();
  }
  if (address_.family() == AF_UNSPEC) return absl::OkStatus();
  if (address_.family() != family) {
    return absl::InvalidArgumentError(
        absl::StrCat("source ", address_.Text(), " is of the other IP family than the host"));
  }
  if (::bind(fd, address_.get(), address_.size) != 0) return ErrnoStatus("send from ", address_.Text());
  return absl::OkStatus();
}

}  // namespace stele::machined
