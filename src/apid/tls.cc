#include "apid/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <cerrno>

#include "apid/identity.h"

namespace stele {
namespace {

constexpr char kAlpn[] = "\x02h2";

absl::Status OpenSslStatus(absl::string_view doing) {
  char text[256] = "no reason given";
  unsigned long error = ERR_get_error();
  if (error != 0) ERR_error_string_n(error, text, sizeof text);
  ERR_clear_error();
  return absl::FailedPreconditionError(absl::StrCat(doing, ": ", text));
}

// OpenSSL writes records one by one; collecting them makes one send(2) of many.
int CollectRecords(BIO* bio, const char* data, size_t size, size_t* written) {
  static_cast<ByteQueue*>(BIO_get_data(bio))->Append(reinterpret_cast<const uint8_t*>(data), size);
  *written = size;
  return 1;
}

long AnswerControl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* CollectingMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "collect");
    BIO_meth_set_write_ex(made, &CollectRecords);
    BIO_meth_set_ctrl(made, &AnswerControl);
    return made;
  }();
  return method;
}

int SelectHttp2(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned int in_size,
                void*) {
  unsigned char* chosen = nullptr;
  int result = SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(kAlpn), sizeof kAlpn - 1,
                                     in, in_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

// OpenSSL has checked this certificate of the chain (signature, dates, purpose); the leaf must also
// be exactly a client's.
int VerifyStep(int ok, X509_STORE_CTX* store) {
  if (ok != 1) return ok;
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  if (CheckClientLeaf(X509_STORE_CTX_get_current_cert(store)).ok()) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

// Without them ChaCha20 is several times as fast as AES-GCM, and the client, which has its choice too, is rarely the
// slower side.
bool HasAesInstructions() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("aes") != 0 && __builtin_cpu_supports("pclmul") != 0;
#elif defined(__aarch64__)
  unsigned long has = ::getauxval(AT_HWCAP);
  return (has & HWCAP_AES) != 0 && (has & HWCAP_PMULL) != 0;
#else
  return false;
#endif
}

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

Bio TextOf(const std::string& pem) { return {BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free}; }

// What else is in the text (a key among certificates) is passed over; nullptr at its end.
Certificate NextCertificate(const Bio& text) {
  Certificate next(PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr), &X509_free);
  if (next == nullptr) ERR_clear_error();
  return next;
}

absl::Status UseIdentity(SSL_CTX* context, const std::string& pem) {
  Bio text = TextOf(pem);
  Certificate leaf = NextCertificate(text);
  if (leaf == nullptr) return absl::InvalidArgumentError("there is no certificate in tls.pem");
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) return OpenSslStatus("use the certificate of tls.pem");
  while (Certificate issuer = NextCertificate(text)) {
    if (SSL_CTX_add1_chain_cert(context, issuer.get()) != 1) return OpenSslStatus("use the chain of tls.pem");
  }
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(TextOf(pem).get(), nullptr, nullptr, nullptr), &EVP_PKEY_free);
  if (key == nullptr) return OpenSslStatus("read the key of tls.pem");
  // This also refuses a key that is not the certificate's.
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) return OpenSslStatus("use the key of tls.pem");
  return absl::OkStatus();
}

absl::Status TrustClientsOf(SSL_CTX* context, const std::string& pem) {
  Bio text = TextOf(pem);
  int found = 0;
  for (Certificate ca = NextCertificate(text); ca != nullptr; ca = NextCertificate(text), ++found) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1) return OpenSslStatus("use client-ca.crt");
  }
  return found > 0 ? absl::OkStatus() : absl::InvalidArgumentError("there is no certificate in client-ca.crt");
}

}  // namespace

absl::Status TlsContext::Prepare() {
  // No openssl.cnf: what is allowed is written below and nowhere else.
  if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) return OpenSslStatus("start OpenSSL");
  if (TlsContext(SSL_CTX_new(TLS_server_method())).get() == nullptr) return OpenSslStatus("make a TLS context");
  return absl::OkStatus();
}

absl::StatusOr<TlsContext> TlsContext::Create(const std::string& identity, const std::string& client_ca) {
  TlsContext made(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = made.get();
  if (context == nullptr) return OpenSslStatus("make a TLS context");
  // No 1.2, and none of what resumption would need: every connection proves itself anew.
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_max_early_data(context, 0);
  SSL_CTX_set_ciphersuites(context, HasAesInstructions()
                                        ? "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
                                        : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
  SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384");
  SSL_CTX_set_mode(context,
                   SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One recv(2) for several records of an upload.
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, 64 * 1024);
  SSL_CTX_set_max_cert_list(context, 16 * 1024);
  SSL_CTX_set_alpn_select_cb(context, &SelectHttp2, nullptr);

  RETURN_IF_ERROR(UseIdentity(context, identity));
  RETURN_IF_ERROR(TrustClientsOf(context, client_ca));
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &VerifyStep);
  SSL_CTX_set_verify_depth(context, 4);
  SSL_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
  return made;
}

absl::StatusOr<std::unique_ptr<TlsStream>> TlsStream::Create(const TlsContext& context, int fd) {
  SSL* ssl = SSL_new(context.get());
  if (ssl == nullptr) return OpenSslStatus("make a TLS connection");
  std::unique_ptr<TlsStream> stream(new TlsStream(ssl, fd));
  BIO* in = BIO_new_socket(fd, BIO_NOCLOSE);
  BIO* out = BIO_new(CollectingMethod());
  if (in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    return OpenSslStatus("make a TLS connection");
  }
  BIO_set_data(out, &stream->out_);
  BIO_set_init(out, 1);
  SSL_set0_rbio(ssl, in);
  SSL_set0_wbio(ssl, out);
  SSL_set_accept_state(ssl);
  return stream;
}

TlsStream::Progress TlsStream::Failure(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Progress::kWantRead;
    case SSL_ERROR_ZERO_RETURN:
      return Progress::kEnd;
    default:
      break;
  }
  unsigned long error = ERR_peek_last_error();
  if (error == 0) {
    error_ = "the client ended the connection";
  } else if (ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    error_ = absl::StrCat("client certificate: ", X509_verify_cert_error_string(SSL_get_verify_result(ssl_.get())));
  } else {
    const char* reason = ERR_reason_error_string(error);
    error_ = reason != nullptr ? reason : "TLS error";
    client_showed_nothing_ = ERR_GET_REASON(error) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  }
  ERR_clear_error();
  return Progress::kFailed;
}

TlsStream::Progress TlsStream::Handshake() {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return Failure(result);
  // Without ALPN in the ClientHello the callback is never asked.
  const unsigned char* protocol = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
  if (absl::string_view(reinterpret_cast<const char*>(protocol), size) != "h2") {
    error_ = "the client does not offer h2 by ALPN";
    return Progress::kFailed;
  }
  return Progress::kDone;
}

TlsStream::Progress TlsStream::Read(uint8_t* data, size_t size, size_t& got) {
  ERR_clear_error();
  int result = SSL_read_ex(ssl_.get(), data, size, &got);
  return result == 1 ? Progress::kDone : Failure(result);
}

bool TlsStream::Write(const uint8_t* data, size_t size) {
  ERR_clear_error();
  while (size > 0) {
    size_t written = 0;
    // The collecting BIO takes everything, so there is nothing to wait for.
    if (SSL_write_ex(ssl_.get(), data, size, &written) != 1) return false;
    data += written;
    size -= written;
  }
  return true;
}

void TlsStream::Shutdown() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

TlsStream::Progress TlsStream::Flush() {
  while (!out_.empty()) {
    ssize_t sent = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? Progress::kWantRead : Progress::kFailed;
    out_.Pop(static_cast<size_t>(sent));
  }
  return Progress::kDone;
}

}  // namespace stele
