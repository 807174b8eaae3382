#include "osctl/client/diagnose.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>

#include <memory>

#include "absl/strings/str_join.h"
#include "base/unique_fd.h"
#include "osctl/client/tcp.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/pki.h"

namespace stele::osctl {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Deleter<SSL_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;

// OpenSSL writes to its socket with write(2): one that the node has just closed would end osctl by
// SIGPIPE, without a word. Holds the signal off this thread; stdout keeps its usual meaning for it.
class NoSigpipe {
 public:
  NoSigpipe() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~NoSigpipe() {
    timespec now = {};
    while (sigtimedwait(&sigpipe_, nullptr, &now) == SIGPIPE) {  // what came meanwhile
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  sigset_t sigpipe_;
  sigset_t before_;
};

constexpr char kRegenerate[] = "make a new one with `osctl gen client`";

absl::Status AuthenticationError(absl::string_view why, absl::string_view next) {
  return Failure(absl::StatusCode::kUnauthenticated, ExitCode::kAuthentication, why, next);
}

std::string FirstOpensslReason() {
  unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "the connection was closed" : reason;
}

// What is wrong with our own files, before a node is blamed.
absl::Status CheckOwnKeys(const ClientKeys& keys) {
  absl::StatusOr<CertificateInfo> ca = ReadCertificate(keys.ca);
  if (!ca.ok()) return LocalError(absl::StrCat("the context's ca: ", ca.status().message()), "mend the context");
  absl::StatusOr<CertificateInfo> own = ReadCertificate(keys.certificate);
  if (!own.ok()) {
    return LocalError(absl::StrCat("the context's certificate: ", own.status().message()), "mend the context");
  }
  if (absl::Status pair = CheckKeyPair({keys.certificate, keys.key}); !pair.ok()) {
    return LocalError(absl::StrCat("the context's key: ", pair.message()), "mend the context");
  }
  absl::Time now = absl::Now();
  if (now > own->validity.not_after) {
    return AuthenticationError(absl::StrCat("our certificate expired at ", Rfc3339(own->validity.not_after)),
                               kRegenerate);
  }
  if (now < own->validity.not_before) {
    return AuthenticationError(absl::StrCat("our certificate is not valid before ", Rfc3339(own->validity.not_before)),
                               "check this machine's clock");
  }
  return absl::OkStatus();
}

absl::Status LoadKeys(SSL_CTX* context, const ClientKeys& keys) {
  Bio ca(BIO_new_mem_buf(keys.ca.data(), static_cast<int>(keys.ca.size())));
  while (true) {
    Certificate certificate(PEM_read_bio_X509(ca.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get());
  }
  ERR_clear_error();  // the end of the PEM text
  Bio own(BIO_new_mem_buf(keys.certificate.data(), static_cast<int>(keys.certificate.size())));
  Certificate certificate(PEM_read_bio_X509(own.get(), nullptr, nullptr, nullptr));
  Bio key_bio(BIO_new_mem_buf(keys.key.data(), static_cast<int>(keys.key.size())));
  Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (SSL_CTX_use_certificate(context, certificate.get()) != 1 || SSL_CTX_use_PrivateKey(context, key.get()) != 1) {
    return LocalError(absl::StrCat("the context's certificate: ", FirstOpensslReason()), "mend the context");
  }
  return absl::OkStatus();
}

void ExpectName(SSL* ssl, const std::string& name) {
  unsigned char address[16];
  bool ip = inet_pton(AF_INET, name.c_str(), address) == 1 || inet_pton(AF_INET6, name.c_str(), address) == 1;
  if (ip) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set1_host(ssl, name.c_str());
    SSL_set_tlsext_host_name(ssl, name.c_str());
  }
}

// The names that the node's certificate carries, for the message about a wrong one.
std::string NamesOf(X509* certificate) {
  std::vector<std::string> names;
  auto* san = static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(san); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(san, i);
    if (name->type == GEN_DNS) {
      names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                         ASN1_STRING_length(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
      char text[INET6_ADDRSTRLEN] = "";
      int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
      inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, sizeof text);
      names.emplace_back(text);
    }
  }
  GENERAL_NAMES_free(san);
  return names.empty() ? "no name at all" : absl::StrJoin(names, ", ");
}

// Keeps the names of a certificate that is refused: the session has forgotten it afterwards. The
// session's app data is the string.
int KeepNames(int accepted, X509_STORE_CTX* store) {
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  X509* leaf = X509_STORE_CTX_get0_cert(store);
  if (accepted == 0 && leaf != nullptr) *static_cast<std::string*>(SSL_get_app_data(ssl)) = NamesOf(leaf);
  return accepted;
}

absl::Status ServerCertificateError(SSL* ssl, long verdict, const ClientKeys& keys) {
  std::string reason = X509_verify_cert_error_string(verdict);
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return AuthenticationError(
          absl::StrCat("the node's certificate is for ", *static_cast<std::string*>(SSL_get_app_data(ssl)),
                       ", not for ", keys.server_name),
          "dial one of those names, or set --server-name");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return AuthenticationError("the node's certificate has expired",
                                 "give the node a new one, or check this machine's clock");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return AuthenticationError("the node's certificate is not valid yet", "check both clocks");
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return AuthenticationError(
          absl::StrCat("the node's certificate was not signed by the context's ca (", reason, ")"),
          "use the node's own context; if it is, somebody else answers at this address");
    default:
      return AuthenticationError(absl::StrCat("the node's certificate is not accepted: ", reason), "");
  }
}

// What a TLS alert about our certificate means.
absl::Status ClientCertificateError(int reason, const std::string& text) {
  switch (reason) {
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return AuthenticationError("the node does not know the CA of our certificate",
                                 "use a context whose certificate the node's client CA signed");
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return AuthenticationError("the node takes our certificate for expired", "check both clocks");
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
      return AuthenticationError("our certificate was revoked", kRegenerate);
    default:
      return AuthenticationError(absl::StrCat("the node refused our certificate: ", text),
                                 "use a context whose certificate the node's client CA signed, for client use only");
  }
}

// TLS until it is done; with TLS 1.3 that is before the node has looked at our certificate.
absl::Status Handshake(SSL* ssl, int fd, absl::Time deadline, const ClientKeys& keys) {
  while (true) {
    ERR_clear_error();
    int result = SSL_connect(ssl);
    if (result == 1) return absl::OkStatus();
    int error = SSL_get_error(ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
      RETURN_IF_ERROR(AwaitEvent(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline,
                                 "connected, but the node does not answer the TLS handshake"));
      continue;
    }
    long verdict = SSL_get_verify_result(ssl);
    if (verdict != X509_V_OK) return ServerCertificateError(ssl, verdict, keys);
    bool closed = error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN ||
                  ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    if (closed) {
      return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable,
                     "the node closed the connection before TLS was set up",
                     "it may be starting or at its connection limit: try again");
    }
    return AuthenticationError(absl::StrCat("TLS: ", FirstOpensslReason()),
                               "check that the port is the node's API and that it speaks TLS 1.3");
  }
}

// The node's first word after the handshake: HTTP/2 settings when it took our certificate.
absl::Status AwaitFirstWord(SSL* ssl, int fd, absl::Time deadline) {
  while (true) {
    char byte = 0;
    ERR_clear_error();
    int result = SSL_read(ssl, &byte, 1);
    if (result == 1) return absl::OkStatus();
    int error = SSL_get_error(ssl, result);
    if (error == SSL_ERROR_WANT_READ) {
      RETURN_IF_ERROR(AwaitEvent(fd, POLLIN, deadline, "connected, but the node says nothing after the TLS handshake"));
      continue;
    }
    unsigned long code = ERR_peek_error();
    if (error == SSL_ERROR_SSL && ERR_GET_REASON(code) != SSL_R_UNEXPECTED_EOF_WHILE_READING) {
      return ClientCertificateError(ERR_GET_REASON(code), FirstOpensslReason());
    }
    // gRPC servers close without an alert when they refuse a certificate.
    return AuthenticationError("the node closed the connection when it saw our certificate",
                               "use a context whose certificate the node's client CA signed, for client use only");
  }
}

}  // namespace

absl::Status Diagnose(const std::vector<SocketAddress>& addresses, const ClientKeys& keys, absl::Duration timeout) {
  NoSigpipe no_sigpipe;
  absl::Time deadline = absl::Now() + timeout;
  RETURN_IF_ERROR(CheckOwnKeys(keys));
  ASSIGN_OR_RETURN(TcpConnection connection, ConnectAny(addresses, deadline));
  int fd = connection.fd.get();
  Context context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, KeepNames);
  RETURN_IF_ERROR(LoadKeys(context.get(), keys));
  std::string peer_names;
  Session ssl(SSL_new(context.get()));
  SSL_set_app_data(ssl.get(), &peer_names);
  const unsigned char alpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), alpn, sizeof alpn);
  ExpectName(ssl.get(), keys.server_name);
  SSL_set_fd(ssl.get(), fd);
  RETURN_IF_ERROR(Handshake(ssl.get(), fd, deadline, keys));
  return AwaitFirstWord(ssl.get(), fd, deadline);
}

}  // namespace stele::osctl
