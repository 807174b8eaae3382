#include "osctl/client/address.h"

#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <poll.h>

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

bool FromLiteral(const Address& address, SocketAddress* out) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out->storage);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    out->size = sizeof *v4;
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out->storage);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    out->size = sizeof *v6;
    return true;
  }
  return false;
}

struct Lookup {
  bool done = false;
  int status = ARES_SUCCESS;
  std::vector<SocketAddress> found;
};

void OnAnswer(void* arg, int status, int, ares_addrinfo* result) {
  auto* lookup = static_cast<Lookup*>(arg);
  lookup->done = true;
  lookup->status = status;
  for (ares_addrinfo_node* node = result == nullptr ? nullptr : result->nodes; node != nullptr; node = node->ai_next) {
    if (node->ai_addrlen > sizeof(sockaddr_storage)) continue;
    SocketAddress address;
    std::memcpy(&address.storage, node->ai_addr, node->ai_addrlen);
    address.size = node->ai_addrlen;
    lookup->found.push_back(address);
  }
  if (result != nullptr) ares_freeaddrinfo(result);
}

// Drives c-ares with poll until the answer or `deadline`.
void Drive(ares_channel channel, const Lookup& lookup, absl::Time deadline) {
  while (!lookup.done && absl::Now() < deadline) {
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    int wanted = ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
    pollfd fds[ARES_GETSOCK_MAXNUM];
    nfds_t count = 0;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
      short events = (ARES_GETSOCK_READABLE(wanted, i) ? POLLIN : 0) | (ARES_GETSOCK_WRITABLE(wanted, i) ? POLLOUT : 0);
      if (events != 0) fds[count++] = {sockets[i], events, 0};
    }
    ::poll(fds, count, 100);  // c-ares has retries of its own to start: never sleep long
    if (count == 0) ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    for (nfds_t i = 0; i < count; ++i) {
      ares_process_fd(channel, fds[i].revents & (POLLIN | POLLERR | POLLHUP) ? fds[i].fd : ARES_SOCKET_BAD,
                      fds[i].revents & POLLOUT ? fds[i].fd : ARES_SOCKET_BAD);
    }
  }
}

}  // namespace

std::string Address::Text() const {
  bool brackets = port != kDefaultPort && host.find(':') != std::string::npos;
  std::string text = brackets ? absl::StrCat("[", host, "]") : host;
  return port == kDefaultPort ? text : absl::StrCat(text, ":", port);
}

absl::StatusOr<Address> ParseAddress(absl::string_view text) {
  auto wrong = [&](absl::string_view why) {
    return UsageError(absl::StrCat("node address '", text, "': ", why), "write HOST, HOST:PORT or [IPV6]:PORT");
  };
  Address address;
  absl::string_view port;
  if (!text.empty() && text[0] == '[') {
    size_t end = text.find(']');
    if (end == absl::string_view::npos) return wrong("the bracket is not closed");
    address.host = std::string(text.substr(1, end - 1));
    port = text.substr(end + 1);
    if (!port.empty() && port[0] != ':') return wrong("expected : after the bracket");
  } else {
    // More than one colon without brackets: an IPv6 address without a port.
    size_t colon = text.find(':');
    bool ipv6 = colon != absl::string_view::npos && text.find(':', colon + 1) != absl::string_view::npos;
    if (ipv6) colon = absl::string_view::npos;
    address.host = std::string(text.substr(0, colon));
    if (colon != absl::string_view::npos) port = text.substr(colon);
  }
  if (address.host.empty()) return wrong("no host");
  if (address.host.find_first_of(" \t/@\\\"'") != std::string::npos) return wrong("not a host name");
  if (port.empty()) return address;
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port.substr(1), &number) || number == 0 || number > 65535) return wrong("bad port");
  address.port = static_cast<uint16_t>(number);
  return address;
}

std::string SocketAddress::Text() const {
  char host[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(&storage);
    inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
    return absl::StrCat(host, ":", ntohs(v4->sin_port));
  }
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&storage);
  inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
  return absl::StrCat("[", host, "]:", ntohs(v6->sin6_port));
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const Address& address, absl::Duration timeout) {
  SocketAddress literal;
  if (FromLiteral(address, &literal)) return std::vector<SocketAddress>{literal};
  ares_library_init(ARES_LIB_INIT_ALL);
  ares_channel channel = nullptr;
  if (int status = ares_init(&channel); status != ARES_SUCCESS) {
    return absl::InternalError(absl::StrCat("look up ", address.host, ": ", ares_strerror(status)));
  }
  Lookup lookup;
  ares_addrinfo_hints hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel, address.host.c_str(), std::to_string(address.port).c_str(), &hints, OnAnswer, &lookup);
  Drive(channel, lookup, absl::Now() + timeout);
  bool answered = lookup.done;
  ares_destroy(channel);  // an unanswered lookup is cancelled here, and its callback told so
  if (!answered) {
    return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable,
                   absl::StrCat("look up ", address.host, ": no answer from the name servers"),
                   "check /etc/resolv.conf, or use the node's address");
  }
  if (lookup.status != ARES_SUCCESS || lookup.found.empty()) {
    return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable,
                   absl::StrCat("look up ", address.host, ": ",
                                lookup.status == ARES_SUCCESS ? "no address" : ares_strerror(lookup.status)),
                   "check the name, or use the node's address");
  }
  return std::move(lookup.found);
}

}  // namespace stele::osctl
