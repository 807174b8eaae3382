#include "apid/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele {

Peer PeerOf(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return {absl::StrCat(text, ":", ntohs(v4.sin_port)), text, absl::StartsWith(text, "127.")};
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {  // a dual-stack listener's name for an IPv4 client
      ::inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
      return {absl::StrCat(text, ":", ntohs(v6.sin6_port)), text, absl::StartsWith(text, "127.")};
    }
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    Peer peer = {absl::StrCat("[", text, "]:", ntohs(v6.sin6_port)), "", absl::string_view(text) == "::1"};
    in6_addr prefix = v6.sin6_addr;  // one host may use any address of its /64
    std::memset(&prefix.s6_addr[8], 0, 8);
    ::inet_ntop(AF_INET6, &prefix, text, sizeof text);
    peer.source = absl::StrCat(text, "/64");
    return peer;
  }
  return {"unknown", "unknown"};
}

}  // namespace stele
