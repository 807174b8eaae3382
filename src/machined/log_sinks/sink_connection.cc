#include "machined/log_sinks/sink_connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr int kConnectPatienceMs = 10'000;
constexpr timeval kSendPatience = {.tv_sec = 30};
constexpr char kSystemCas[] = "/etc/ssl/certs/ca-certificates.crt";

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* thing) const { Free(thing); }
};
using SslContext = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX, SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Deleter<SSL, SSL_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509, X509_free>>;
using PrivateKey = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY, EVP_PKEY_free>>;
struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Bio = std::unique_ptr<BIO, BioDeleter>;

// What OpenSSL says is wrong, in words.
absl::Status SslStatus(absl::string_view doing) {
  unsigned long error = ERR_peek_last_error();
  const char* reason = error == 0 ? nullptr : ERR_reason_error_string(error);
  ERR_clear_error();
  return absl::UnavailableError(absl::StrCat(doing, ": ", reason == nullptr ? "the connection ended" : reason));
}

absl::StatusOr<UniqueFd> ConnectTo(const addrinfo& address) {
  UniqueFd fd(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (!fd.ok()) return ErrnoStatus("make a socket");
  if (::connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return ErrnoStatus("connect");
    pollfd one = {.fd = fd.get(), .events = POLLOUT};
    if (::poll(&one, 1, kConnectPatienceMs) <= 0) return absl::UnavailableError("connect: nothing answers");
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return StatusFromErrno(error, "connect");
  }
  // From here on it blocks, for as long as a receiver may take.
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendPatience, sizeof kSendPatience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kSendPatience, sizeof kSendPatience);
  if (address.ai_socktype == SOCK_STREAM) {
    int on = 1, idle = 30, interval = 10, probes = 3, user_timeout_ms = 60'000;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
  }
  return fd;
}

absl::StatusOr<UniqueFd> ConnectTo(const SinkTarget& target) {
  addrinfo hints = {}, *found = nullptr;
  hints.ai_socktype = target.protocol == SinkProtocol::kUdp ? SOCK_DGRAM : SOCK_STREAM;
  int error = ::getaddrinfo(target.host.c_str(), target.port.c_str(), &hints, &found);
  if (error != 0) return absl::UnavailableError(absl::StrCat("look up ", target.host, ": ", ::gai_strerror(error)));
  std::unique_ptr<addrinfo, void (*)(addrinfo*)> all(found, ::freeaddrinfo);
  absl::Status last = absl::UnavailableError("no address");
  for (const addrinfo* one = all.get(); one != nullptr; one = one->ai_next) {
    absl::StatusOr<UniqueFd> fd = ConnectTo(*one);
    if (fd.ok()) return fd;
    last = fd.status();
  }
  return last;
}

class PlainConnection : public SinkConnection {
 public:
  PlainConnection(UniqueFd fd, bool datagrams) : fd_(std::move(fd)), datagrams_(datagrams) {}

  absl::Status Send(absl::string_view bytes) override {
    while (!bytes.empty()) {
      ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0 && errno == EAGAIN) return absl::UnavailableError("the receiver takes nothing for 30 s");
      if (sent < 0) return ErrnoStatus("send");
      bytes.remove_prefix(datagrams_ ? bytes.size() : sent);
    }
    return absl::OkStatus();
  }

  absl::Status Listen() override {
    char bytes[4096];
    ssize_t got = ::recv(fd_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return absl::OkStatus();
    if (got == 0)
      return datagrams_ ? absl::OkStatus() : absl::UnavailableError("the receiver has closed the connection");
    return ErrnoStatus("receive");
  }

  int fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
  bool datagrams_;
};

class TlsConnection : public SinkConnection {
 public:
  TlsConnection(UniqueFd fd, SslContext context, Ssl ssl)
      : fd_(std::move(fd)), context_(std::move(context)), ssl_(std::move(ssl)) {}

  absl::Status Send(absl::string_view bytes) override {
    ERR_clear_error();
    if (SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0) return absl::OkStatus();
    return SslStatus("send");
  }

  // A ticket or a change of keys is something to read and no data: SSL_read comes back from it.
  absl::Status Listen() override {
    ERR_clear_error();
    char bytes[4096];
    int got = SSL_read(ssl_.get(), bytes, sizeof bytes);
    if (got > 0) return absl::OkStatus();
    int error = SSL_get_error(ssl_.get(), got);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return absl::OkStatus();
    if (error == SSL_ERROR_ZERO_RETURN) return absl::UnavailableError("the receiver has closed the connection");
    return SslStatus("receive");
  }

  int fd() const override { return fd_.get(); }

 private:
  UniqueFd fd_;
  SslContext context_;
  Ssl ssl_;
};

// Each certificate of a PEM text.
std::vector<Certificate> CertificatesOf(const std::string& pem) {
  std::vector<Certificate> all;
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) all.emplace_back(one);
  ERR_clear_error();
  return all;
}

absl::Status Trust(SSL_CTX* context, const std::string& ca) {
  if (ca.empty()) {
    if (SSL_CTX_load_verify_locations(context, kSystemCas, nullptr) != 1) return SslStatus("read the system's CAs");
    return absl::OkStatus();
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  std::vector<Certificate> all = CertificatesOf(ca);
  if (all.empty()) return absl::InvalidArgumentError("the CA is no certificate");
  for (const Certificate& one : all) {
    if (X509_STORE_add_cert(store, one.get()) != 1) return SslStatus("take the CA");
  }
  // An intermediate one that is named is trusted as it is.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  return absl::OkStatus();
}

absl::Status Identify(SSL_CTX* context, const SinkTarget& target) {
  if (target.certificate.empty()) return absl::OkStatus();
  std::vector<Certificate> chain = CertificatesOf(target.certificate);
  Bio bio(BIO_new_mem_buf(target.key.data(), static_cast<int>(target.key.size())));
  PrivateKey key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
  if (chain.empty() || key == nullptr) return absl::InvalidArgumentError("the node's certificate or its key is none");
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1 || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return SslStatus("take the node's certificate and key");
  }
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return SslStatus("take the node's certificates");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<SinkConnection>> Handshake(UniqueFd fd, const SinkTarget& target) {
  SslContext context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return SslStatus("set up TLS");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_clear_mode(context.get(), SSL_MODE_AUTO_RETRY);
  RETURN_IF_ERROR(Trust(context.get(), target.ca));
  RETURN_IF_ERROR(Identify(context.get(), target));
  Ssl ssl(SSL_new(context.get()));
  if (ssl == nullptr || SSL_set_fd(ssl.get(), fd.get()) != 1) return SslStatus("set up TLS");
  unsigned char address[16];
  bool is_address = ::inet_pton(AF_INET, target.host.c_str(), address) == 1 ||
                    ::inet_pton(AF_INET6, target.host.c_str(), address) == 1;
  bool named = is_address ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), target.host.c_str()) == 1
                          : SSL_set1_host(ssl.get(), target.host.c_str()) == 1 &&
                                SSL_set_tlsext_host_name(ssl.get(), target.host.c_str()) == 1;
  if (!named) return SslStatus("set up TLS");
  ERR_clear_error();
  if (SSL_connect(ssl.get()) != 1) {
    long verdict = SSL_get_verify_result(ssl.get());
    if (verdict != X509_V_OK) {
      return absl::PermissionDeniedError(
          absl::StrCat("the receiver's certificate is refused: ", X509_verify_cert_error_string(verdict)));
    }
    return SslStatus("TLS handshake");
  }
  return std::make_unique<TlsConnection>(std::move(fd), std::move(context), std::move(ssl));
}

}  // namespace

absl::optional<SinkProtocol> ParseSinkProtocol(absl::string_view text) {
  if (text == "tcp") return SinkProtocol::kTcp;
  if (text == "tls") return SinkProtocol::kTls;
  if (text == "udp") return SinkProtocol::kUdp;
  return absl::nullopt;
}

absl::StatusOr<std::unique_ptr<SinkConnection>> SinkConnection::Open(const SinkTarget& target) {
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTo(target));
  if (target.protocol == SinkProtocol::kTls) return Handshake(std::move(fd), target);
  return std::make_unique<PlainConnection>(std::move(fd), target.protocol == SinkProtocol::kUdp);
}

}  // namespace stele::machined
