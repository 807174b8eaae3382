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
#include <vector>

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
// be exactly a client's, and not revoked.
int VerifyStep(int ok, X509_STORE_CTX* store) {
  if (ok != 1) return ok;
  if (X509_STORE_CTX_get_error_depth(store) != 0) return 1;
  X509* leaf = X509_STORE_CTX_get_current_cert(store);
  if (!CheckClientLeaf(leaf).ok()) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
    return 0;
  }
  auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* refused = static_cast<const std::set<std::string>*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  if (refused == nullptr || refused->count(SerialOf(leaf)) == 0) return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
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
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

// Never asks a terminal, as OpenSSL would by default.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Bio> TextOf(const std::string& pem) {
  Bio text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), &BIO_free);
  if (text == nullptr) return OpenSslStatus("read PEM");
  return text;
}

// What else is in `pem` (a key among certificates) is passed over; one that is damaged is not.
absl::StatusOr<std::vector<Certificate>> CertificatesIn(const std::string& pem, absl::string_view file) {
  ASSIGN_OR_RETURN(Bio text, TextOf(pem));
  std::vector<Certificate> all;
  while (X509* next = PEM_read_bio_X509(text.get(), nullptr, &NoPassphrase, nullptr)) {
    all.emplace_back(next, &X509_free);
  }
  unsigned long error = ERR_peek_last_error();
  bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return OpenSslStatus(absl::StrCat("read certificate ", all.size() + 1, " of ", file));
  ERR_clear_error();
  if (all.empty()) return absl::InvalidArgumentError(absl::StrCat("there is no certificate in ", file));
  return all;
}

absl::Status UseIdentity(SSL_CTX* context, const std::string& pem) {
  ASSIGN_OR_RETURN(std::vector<Certificate> chain, CertificatesIn(pem, "tls.pem"));
  if (SSL_CTX_use_certificate(context, chain[0].get()) != 1) return OpenSslStatus("use the certificate of tls.pem");
  for (size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return OpenSslStatus("use the chain of tls.pem");
  }
  ASSIGN_OR_RETURN(Bio text, TextOf(pem));
  Key key(PEM_read_bio_PrivateKey(text.get(), nullptr, &NoPassphrase, nullptr), &EVP_PKEY_free);
  if (key == nullptr) return OpenSslStatus("read the key of tls.pem");
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1) return OpenSslStatus("use the key of tls.pem");
  if (SSL_CTX_check_private_key(context) != 1) return OpenSslStatus("the key of tls.pem is not its certificate's");
  return absl::OkStatus();
}

absl::Status TrustClientsOf(SSL_CTX* context, const std::string& pem) {
  ASSIGN_OR_RETURN(std::vector<Certificate> all, CertificatesIn(pem, "client-ca.crt"));
  for (const Certificate& ca : all) {
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get()) != 1) return OpenSslStatus("use client-ca.crt");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status TlsContext::Prepare() {
  // No openssl.cnf: what is allowed is written below and nowhere else.
  if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) return OpenSslStatus("start OpenSSL");
  if (TlsContext(SSL_CTX_new(TLS_server_method())).get() == nullptr) return OpenSslStatus("make a TLS context");
  return absl::OkStatus();
}

absl::StatusOr<TlsContext> TlsContext::Create(const std::string& identity, const std::string& client_ca) {
  ASSIGN_OR_RETURN(TlsContext made, Make());
  RETURN_IF_ERROR(UseIdentity(made.get(), identity));
  RETURN_IF_ERROR(TrustClientsOf(made.get(), client_ca));
  return made;
}

absl::StatusOr<TlsContext> TlsContext::WithClientCa(const std::string& client_ca) const {
  ASSIGN_OR_RETURN(TlsContext made, Make());
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(get(), &chain);
  if (SSL_CTX_use_cert_and_key(made.get(), SSL_CTX_get0_certificate(get()), SSL_CTX_get0_privatekey(get()), chain,
                               /*override=*/1) != 1) {
    return OpenSslStatus("use the identity there is");
  }
  RETURN_IF_ERROR(TrustClientsOf(made.get(), client_ca));
  return made;
}

bool TlsContext::Trusts(const X509* authority) const {
  STACK_OF(X509_OBJECT)* ours = X509_STORE_get0_objects(SSL_CTX_get_cert_store(get()));
  for (int i = 0; i < sk_X509_OBJECT_num(ours); ++i) {
    const X509* one = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(ours, i));
    if (one != nullptr && X509_cmp(one, authority) == 0) return true;
  }
  return false;
}

void TlsContext::Refuse(const std::set<std::string>* serials) {
  SSL_CTX_set_app_data(get(), const_cast<std::set<std::string>*>(serials));
}

bool TlsContext::TrustsAllOf(const TlsContext& before) const {
  X509_STORE* ours = SSL_CTX_get_cert_store(get());
  STACK_OF(X509_OBJECT)* theirs = X509_STORE_get0_objects(SSL_CTX_get_cert_store(before.get()));
  for (int i = 0; i < sk_X509_OBJECT_num(theirs); ++i) {
    if (X509_OBJECT_retrieve_match(X509_STORE_get0_objects(ours), sk_X509_OBJECT_value(theirs, i)) == nullptr) {
      return false;
    }
  }
  return true;
}

absl::StatusOr<TlsContext> TlsContext::Make() {
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

const X509* TlsStream::peer_authority() const {
  STACK_OF(X509)* chain = SSL_get0_verified_chain(ssl_.get());
  int size = chain == nullptr ? 0 : sk_X509_num(chain);
  return size == 0 ? nullptr : sk_X509_value(chain, size - 1);
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
