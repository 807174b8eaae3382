#include "machined/probe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "machined/cri_client.h"
#include "services/containerd.h"

namespace stele::machined {
namespace {

// A blocking socket whose every operation ends after `timeout`.
absl::StatusOr<UniqueFd> Connect(const sockaddr* address, socklen_t size, absl::Duration timeout) {
  UniqueFd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return ErrnoStatus("open a socket");
  timeval limit = absl::ToTimeval(timeout);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (::connect(fd.get(), address, size) != 0) return ErrnoStatus("connect");
  return fd;
}

// "127.0.0.1:10248"; services answer on loopback, so no name is ever looked up.
absl::StatusOr<UniqueFd> ConnectTcp(const std::string& target, absl::Duration timeout) {
  std::pair<std::string, std::string> parts = absl::StrSplit(target, absl::MaxSplits(':', 1));
  sockaddr_in address = {.sin_family = AF_INET};
  uint32_t port = 0;
  if (::inet_pton(AF_INET, parts.first.c_str(), &address.sin_addr) != 1 || !absl::SimpleAtoi(parts.second, &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(target, ": not an address and port"));
  }
  address.sin_port = htons(port);
  auto fd = Connect(reinterpret_cast<const sockaddr*>(&address), sizeof address, timeout);
  if (!fd.ok()) return Annotate(fd.status(), target);
  return fd;
}

absl::Status ProbeHttp(const std::string& url, absl::Duration timeout) {
  absl::string_view rest = url;
  if (!absl::ConsumePrefix(&rest, "http://")) return absl::InvalidArgumentError(absl::StrCat(url, ": not http://"));
  std::pair<std::string, std::string> parts = absl::StrSplit(rest, absl::MaxSplits('/', 1));
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTcp(parts.first, timeout));
  RETURN_IF_ERROR(
      WriteAll(fd.get(), absl::StrCat("GET /", parts.second, " HTTP/1.0\r\nHost: ", parts.first, "\r\n\r\n")));
  char answer[64];
  ssize_t size = ::recv(fd.get(), answer, sizeof answer, 0);
  if (size < 0) return ErrnoStatus(url, ": no answer");
  // "HTTP/1.x 200 OK"
  absl::string_view line(answer, size);
  if (!absl::StartsWith(line, "HTTP/1.") || line.size() < 12 || line.substr(9, 3) != "200") {
    return absl::UnavailableError(absl::StrCat(url, ": ", line.substr(0, line.find_first_of("\r\n"))));
  }
  return absl::OkStatus();
}

// The server's half of a handshake: it holds its key and answers. Ours would need a client's
// certificate, which machined has none of.
absl::Status ProbeTls(const std::string& target, absl::Duration timeout) {
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTcp(target, timeout));
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), SSL_free);
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};  // gRPC ends a handshake without it
  if (tls == nullptr || SSL_set_fd(tls.get(), fd.get()) != 1 ||
      SSL_set_alpn_protos(tls.get(), kHttp2, sizeof kHttp2) != 0) {
    return absl::ResourceExhaustedError("no memory for TLS");
  }
  if (SSL_connect(tls.get()) != 1)
    return absl::UnavailableError(absl::StrCat(target, ": the TLS handshake does not end"));
  return absl::OkStatus();
}

}  // namespace

absl::Status Probe(const ServiceSpec::Readiness& readiness, absl::Duration timeout) {
  using Kind = ServiceSpec::Readiness::Kind;
  switch (readiness.kind) {
    case Kind::kStarted:
    case Kind::kExited:
      return absl::OkStatus();
    case Kind::kPath:
      if (::access(readiness.target.c_str(), F_OK) != 0) return ErrnoStatus(readiness.target);
      return absl::OkStatus();
    case Kind::kHttp:
      return ProbeHttp(readiness.target, timeout);
    case Kind::kTls:
      return ProbeTls(readiness.target, timeout);
    case Kind::kCri:
      return CriReady(readiness.target, services::kPauseImage, timeout);
  }
  return absl::InvalidArgumentError("unknown readiness check");
}

}  // namespace stele::machined
