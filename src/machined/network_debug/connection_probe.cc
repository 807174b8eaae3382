#include "machined/network_debug/connection_probe.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <functional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/proto_time.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

using machine::v1::ProbeRequest;
using machine::v1::ProbeResponse;
using machine::v1::ProbeTls;

constexpr DurationBounds kTimeout = {"timeout", absl::Milliseconds(10), absl::Seconds(30), absl::Seconds(5)};
constexpr char kCaFile[] = "/etc/ssl/certs/ca-certificates.crt";
constexpr size_t kMaxUrl = 2048;
constexpr size_t kMaxStatusLine = 512;

// A connection that is sent to and read from without blocking: TCP, or TLS on top of it.
class Channel {
 public:
  Channel(UniqueFd fd, absl::Duration deadline, const Stop& stop)
      : fd_(std::move(fd)), deadline_(deadline), stop_(stop) {}

  // The peer's certificate is judged and told of, never insisted on.
  absl::Status Handshake(const std::string& host) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    if (context_ == nullptr) return absl::ResourceExhaustedError("no memory for TLS");
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_NONE, nullptr);
    SSL_CTX_load_verify_file(context_.get(), kCaFile);  // without it nobody is trusted, which is then what is told
    SSL_CTX_set_options(context_.get(), SSL_OP_NO_RENEGOTIATION);
    tls_.reset(SSL_new(context_.get()));
    if (tls_ == nullptr || SSL_set_fd(tls_.get(), fd_.get()) != 1) {
      return absl::ResourceExhaustedError("no memory for TLS");
    }
    // Or a server that sends tickets without end would keep SSL_read from ever coming back here, where the deadline is.
    SSL_clear_mode(tls_.get(), SSL_MODE_AUTO_RETRY);
    if (ParseAddress(host, 0).ok()) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), host.c_str());
    } else {
      SSL_set_tlsext_host_name(tls_.get(), host.c_str());
      SSL_set1_host(tls_.get(), host.c_str());
    }
    return Retry([this] { return SSL_connect(tls_.get()); }).status();
  }

  absl::Status Send(absl::string_view bytes) {
    while (!bytes.empty()) {
      absl::StatusOr<size_t> sent = Retry(
          [&] {
            return tls_ != nullptr ? SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                                   : static_cast<int>(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
          },
          POLLOUT);
      if (!sent.ok()) return sent.status();
      bytes.remove_prefix(*sent);
    }
    return absl::OkStatus();
  }

  // At least one byte; an ended connection is an error.
  absl::StatusOr<size_t> Read(char* buffer, size_t size) {
    return Retry(
        [&] {
          return tls_ != nullptr ? SSL_read(tls_.get(), buffer, static_cast<int>(size))
                                 : static_cast<int>(::recv(fd_.get(), buffer, size, 0));
        },
        POLLIN);
  }

  SSL* tls() const { return tls_.get(); }

 private:
  absl::StatusOr<size_t> Retry(const std::function<int()>& step, short plain_event = POLLIN) {
    while (true) {
      ERR_clear_error();
      int result = step();
      int error = errno;
      if (result > 0) return static_cast<size_t>(result);
      short event = plain_event;
      if (tls_ != nullptr) {
        int why = SSL_get_error(tls_.get(), result);
        if (why == SSL_ERROR_SSL) return absl::UnavailableError(absl::StrCat("TLS: ", TlsReason()));
        if (why == SSL_ERROR_SYSCALL && result < 0 && error != 0) return StatusFromErrno(error, "TLS");
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) return Ended();
        event = why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
      } else {
        if (result == 0) return Ended();
        if (error != EAGAIN && error != EINTR) return StatusFromErrno(error, "connection");
      }
      RETURN_IF_ERROR(stop_.Wait(fd_.get(), event, deadline_));
    }
  }

  static absl::Status Ended() { return absl::UnavailableError("the server ended the connection"); }
  static std::string TlsReason() {
    const char* reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason == nullptr ? "failed" : reason;
  }

  UniqueFd fd_;
  const absl::Duration deadline_;
  const Stop& stop_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
};

std::string NameText(const X509_NAME* name) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  // RFC 2253, which escapes control characters.
  if (bio == nullptr || X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return "";
  char* text = nullptr;
  long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(std::clamp(size, 0L, 1024L)));
}

void PutTime(const ASN1_TIME* time, google::protobuf::Timestamp* out) {
  tm parts = {};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return;
  out->set_seconds(::timegm(&parts));
}

void Describe(SSL* tls, ProbeTls* out) {
  out->set_version(SSL_get_version(tls));
  out->set_cipher(SSL_get_cipher_name(tls));
  std::unique_ptr<X509, decltype(&X509_free)> certificate(SSL_get1_peer_certificate(tls), X509_free);
  if (certificate == nullptr) {
    out->set_problem("the server shows no certificate");
    return;
  }
  out->set_subject(NameText(X509_get_subject_name(certificate.get())));
  out->set_issuer(NameText(X509_get_issuer_name(certificate.get())));
  PutTime(X509_get0_notBefore(certificate.get()), out->mutable_not_before());
  PutTime(X509_get0_notAfter(certificate.get()), out->mutable_not_after());
  long verdict = SSL_get_verify_result(tls);
  out->set_trusted(verdict == X509_V_OK);
  if (verdict != X509_V_OK) out->set_problem(X509_verify_cert_error_string(verdict));
}

class Prober {
 public:
  Prober(const ProbeRequest& request, Source source, absl::Duration timeout, const ResolverFiles& files,
         const Stop& stop)
      : request_(request),
        source_(std::move(source)),
        timeout_(timeout),
        deadline_(Uptime() + timeout),
        files_(files),
        stop_(stop) {}

  // `web` may be missing: then the connection is all.
  absl::StatusOr<ProbeResponse> Run(const HostPort& where, const WebTarget* web) {
    absl::Status status = Steps(where, web);
    if (absl::IsCancelled(status) || absl::IsInvalidArgument(status)) return status;
    response_.set_answered(status.ok());
    if (status.ok()) return std::move(response_);
    response_.set_failed_step(step_);
    response_.set_message(absl::IsDeadlineExceeded(status)
                              ? absl::StrCat("no answer within ", absl::FormatDuration(timeout_))
                              : std::string(status.message()));
    return std::move(response_);
  }

 private:
  absl::Status Steps(const HostPort& where, const WebTarget* web) {
    step_ = "name";
    absl::Duration began = Uptime();
    ASSIGN_OR_RETURN(SocketAddress to, FindHost(where.host, where.port, request_.family(), source_, files_, stop_));
    if (!ParseAddress(where.host, 0).ok()) SetDuration(Uptime() - began, response_.mutable_name_time());
    response_.set_address(to.TextWithPort());
    step_ = "connect";
    began = Uptime();
    deadline_ = began + timeout_;  // name servers have time-outs of their own
    ASSIGN_OR_RETURN(UniqueFd fd, Connect(to));
    SetDuration(Uptime() - began, response_.mutable_connect_time());
    if (web == nullptr) return absl::OkStatus();
    Channel channel(std::move(fd), deadline_, stop_);
    if (web->tls) {
      step_ = "tls";
      began = Uptime();
      RETURN_IF_ERROR(channel.Handshake(where.host));
      SetDuration(Uptime() - began, response_.mutable_tls_time());
      Describe(channel.tls(), response_.mutable_tls());
    }
    step_ = "http";
    began = Uptime();
    const char* method = request_.method() == machine::v1::PROBE_METHOD_GET ? "GET" : "HEAD";
    RETURN_IF_ERROR(channel.Send(absl::StrCat(method, " ", web->path, " HTTP/1.1\r\nHost: ", web->authority,
                                              "\r\nUser-Agent: stele\r\nAccept: */*\r\nConnection: close\r\n\r\n")));
    return ReadStatusLine(channel, began);
  }

  absl::StatusOr<UniqueFd> Connect(const SocketAddress& to) {
    UniqueFd fd(::socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.ok()) return ErrnoStatus("open a socket");
    RETURN_IF_ERROR(source_.Apply(fd.get(), to.family()));
    int error = ::connect(fd.get(), to.get(), to.size) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      RETURN_IF_ERROR(stop_.Wait(fd.get(), POLLOUT, deadline_));
      socklen_t size = sizeof error;
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    }
    SocketAddress own;
    own.size = sizeof own.storage;
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&own.storage), &own.size) == 0 && own.port() != 0) {
      response_.set_local_address(own.TextWithPort());
    }
    // The words of connect(2), not those of a status.
    if (error != 0) return absl::UnavailableError(StatusFromErrno(error, "connect").message());
    return fd;
  }

  absl::Status ReadStatusLine(Channel& channel, absl::Duration began) {
    std::string bytes;
    while (true) {
      char buffer[kMaxStatusLine];
      ASSIGN_OR_RETURN(size_t size, channel.Read(buffer, sizeof buffer - bytes.size()));
      bytes.append(buffer, size);
      absl::StatusOr<absl::optional<std::string>> line = StatusLine(bytes);
      if (!line.ok()) return absl::UnavailableError(line.status().message());
      if (!line->has_value()) continue;
      SetDuration(Uptime() - began, response_.mutable_http_time());
      response_.set_status_line(**line);
      return absl::OkStatus();
    }
  }

  const ProbeRequest& request_;
  const Source source_;
  const absl::Duration timeout_;
  absl::Duration deadline_;
  const ResolverFiles& files_;
  const Stop& stop_;
  const char* step_ = "";
  ProbeResponse response_;
};

}  // namespace

absl::StatusOr<WebTarget> ParseWebUrl(absl::string_view url) {
  WebTarget target;
  absl::string_view rest = url;
  if (url.size() > kMaxUrl) return absl::InvalidArgumentError("the URL is longer than 2,048 bytes");
  if (!std::all_of(url.begin(), url.end(), [](char c) { return c > ' ' && c < 0x7f; })) {
    return absl::InvalidArgumentError("the URL holds a blank or another character that has to be written as %XX");
  }
  target.tls = absl::ConsumePrefix(&rest, "https://");
  if (!target.tls && !absl::ConsumePrefix(&rest, "http://")) {
    return absl::InvalidArgumentError("the URL does not begin with http:// or https://");
  }
  rest = rest.substr(0, rest.find('#'));
  size_t end = std::min(rest.find_first_of("/?"), rest.size());
  target.authority = std::string(rest.substr(0, end));
  target.path = std::string(rest.substr(end));
  if (!absl::StartsWith(target.path, "/")) target.path = absl::StrCat("/", target.path);
  if (absl::StrContains(target.authority, '@')) {
    return absl::InvalidArgumentError("the URL holds a user or a password, which it may not");
  }
  ASSIGN_OR_RETURN(target.where, ParseHostPort(target.authority, target.tls ? 443 : 80));
  return target;
}

absl::StatusOr<absl::optional<std::string>> StatusLine(absl::string_view bytes) {
  static constexpr absl::string_view kBegin = "HTTP/";
  if (bytes.substr(0, kBegin.size()) != kBegin.substr(0, bytes.size())) {
    return absl::InvalidArgumentError("what answers does not speak HTTP/1");
  }
  size_t end = bytes.find('\n');
  if (end == absl::string_view::npos && bytes.size() >= kMaxStatusLine) {
    return absl::InvalidArgumentError("the status line does not end");
  }
  if (end == absl::string_view::npos) return absl::optional<std::string>();
  std::string line(absl::StripTrailingAsciiWhitespace(bytes.substr(0, end)));
  for (char& c : line) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '?';
  }
  return absl::optional<std::string>(line);
}

absl::StatusOr<ProbeResponse> ProbeConnection(const ProbeRequest& request, const ResolverFiles& files,
                                              const Stop& stop) {
  ASSIGN_OR_RETURN(absl::Duration timeout, Bounded(request.has_timeout(), request.timeout(), kTimeout));
  ASSIGN_OR_RETURN(Source source, Source::Parse(request.source()));
  Prober prober(request, source, timeout, files, stop);
  switch (request.target_case()) {
    case ProbeRequest::kTcp: {
      ASSIGN_OR_RETURN(HostPort where, ParseHostPort(request.tcp(), 0));
      return prober.Run(where, nullptr);
    }
    case ProbeRequest::kUrl: {
      ASSIGN_OR_RETURN(WebTarget web, ParseWebUrl(request.url()));
      return prober.Run(web.where, &web);
    }
    case ProbeRequest::TARGET_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("what is to be probed? Give tcp or url");
}

}  // namespace stele::machined
