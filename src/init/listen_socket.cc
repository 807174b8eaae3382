#include "init/listen_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

namespace stele::init {
namespace {

// "127.0.0.1:50000" or "[::]:50000". By hand: getaddrinfo would read files and ask servers.
absl::Status ParseTcp(absl::string_view text, sockaddr_storage& address, socklen_t& size) {
  auto bad = [&] { return absl::InvalidArgumentError(absl::StrCat("no address and port: ", text)); };
  size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || colon + 1 == text.size()) return bad();
  uint32_t port = 0;
  for (char c : text.substr(colon + 1)) {
    if (c < '0' || c > '9' || (port = port * 10 + static_cast<uint32_t>(c - '0')) > 65535) return bad();
  }
  absl::string_view host = text.substr(0, colon);
  memset(&address, 0, sizeof address);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    auto* six = reinterpret_cast<sockaddr_in6*>(&address);
    six->sin6_family = AF_INET6;
    six->sin6_port = htons(static_cast<uint16_t>(port));
    size = sizeof *six;
    return ::inet_pton(AF_INET6, std::string(host.substr(1, host.size() - 2)).c_str(), &six->sin6_addr) == 1
               ? absl::OkStatus()
               : bad();
  }
  auto* four = reinterpret_cast<sockaddr_in*>(&address);
  four->sin_family = AF_INET;
  four->sin_port = htons(static_cast<uint16_t>(port));
  size = sizeof *four;
  return ::inet_pton(AF_INET, std::string(host).c_str(), &four->sin_addr) == 1 ? absl::OkStatus() : bad();
}

absl::StatusOr<UniqueFd> ListenTcp(const ListenSocket& spec, absl::string_view where) {
  sockaddr_storage address;
  socklen_t size = 0;
  RETURN_IF_ERROR(ParseTcp(where, address, size));
  UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("make a socket");
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // The address may come later than the socket, and may go again.
  ::setsockopt(fd.get(), IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return ErrnoStatus("bind to ", where);
  if (::listen(fd.get(), static_cast<int>(spec.backlog)) != 0) return ErrnoStatus("listen on ", where);
  return fd;
}

absl::StatusOr<UniqueFd> ListenUnix(const ListenSocket& spec, absl::string_view path) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("no path for a unix socket: ", path));
  }
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrnoStatus("make a socket");
  ::unlink(address.sun_path);
  // Made with no permission at all and opened up when its owner is right.
  mode_t mask = ::umask(0777);
  int bound = ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  int error = errno;
  ::umask(mask);
  if (bound != 0) return StatusFromErrno(error, absl::StrCat("bind to ", path));
  // EINVAL: a user namespace without that user, where the socket stays root's.
  if (spec.uid != 0 && ::chown(address.sun_path, spec.uid, static_cast<gid_t>(-1)) != 0 && errno != EINVAL) {
    return ErrnoStatus("give ", path, " to user ", spec.uid);
  }
  if (::chmod(address.sun_path, spec.mode) != 0) return ErrnoStatus("change mode of ", path);
  if (::listen(fd.get(), static_cast<int>(spec.backlog)) != 0) return ErrnoStatus("listen on ", path);
  return fd;
}

}  // namespace

absl::StatusOr<UniqueFd> OpenListenSocket(const ListenSocket& spec) {
  absl::string_view address = spec.address;
  if (address.substr(0, 4) == "tcp:") return ListenTcp(spec, address.substr(4));
  if (address.substr(0, 5) == "unix:") return ListenUnix(spec, address.substr(5));
  return absl::InvalidArgumentError(absl::StrCat("neither tcp: nor unix: ", address));
}

}  // namespace stele::init
