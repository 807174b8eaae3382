// TLS 1.3 with a client certificate, without blocking, over a socket that somebody else polls.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>

#include "apid/byte_queue.h"
#include "base/status.h"

namespace stele {

// What all connections share: our certificate, our key, the CA that clients must come from.
class TlsContext {
 public:
  // Loads what OpenSSL needs for the first context, so that Create itself is quick and opens no file.
  static absl::Status Prepare();
  // Both are PEM: `identity` our certificate, those that sign it, and its key; `client_ca` one or more.
  static absl::StatusOr<TlsContext> Create(const std::string& identity, const std::string& client_ca);
  // The same identity with other clients.
  absl::StatusOr<TlsContext> WithClientCa(const std::string& client_ca) const;
  // Whether every CA of `before` is one here, too.
  bool TrustsAllOf(const TlsContext& before) const;
  // Whether this very CA is one.
  bool Trusts(const X509* authority) const;
  // Serial numbers (SerialOf) of clients that are refused, looked at in each handshake. Borrowed: must outlive every
  // connection; may change.
  void Refuse(const std::set<std::string>* serials);
  SSL_CTX* get() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  explicit TlsContext(SSL_CTX* context) : context_(context) {}
  // Without an identity and without clients yet.
  static absl::StatusOr<TlsContext> Make();
  std::unique_ptr<SSL_CTX, Free> context_;
};

// The server's end of one connection. Encrypted bytes that the socket did not take wait inside;
// whoever writes asks pending_out() first, so their number stays bounded.
class TlsStream {
 public:
  enum class Progress { kDone, kWantRead, kEnd, kFailed };

  // Borrows `fd`, a connected non-blocking socket.
  static absl::StatusOr<std::unique_ptr<TlsStream>> Create(const TlsContext& context, int fd);

  // kDone once the client is known; kFailed with error() where it has no good certificate.
  Progress Handshake();
  // Decrypts at most `size` bytes. kDone says `got` > 0; kEnd that the client said goodbye.
  Progress Read(uint8_t* data, size_t size, size_t& got);
  // Encrypts all of it. False when the connection is beyond use.
  bool Write(const uint8_t* data, size_t size);
  // Says goodbye; the bytes go out with the next Flush.
  void Shutdown();

  // Hands encrypted bytes to the socket. kDone: none are left; kWantRead: the socket is full (wait
  // until it can be written); kFailed: it is gone.
  Progress Flush();
  size_t pending_out() const { return out_.size(); }
  void ReleaseMemory() { out_.Release(); }

  // Bytes that were received and not decrypted yet: epoll will not tell of them.
  bool has_buffered_input() const { return SSL_has_pending(ssl_.get()) != 0; }
  // The client's certificate; owned by the stream. nullptr before the handshake is done.
  X509* peer_certificate() const { return SSL_get0_peer_certificate(ssl_.get()); }
  // The CA that the client's certificate chains to; nullptr before it is known.
  const X509* peer_authority() const;
  // The handshake failed because the client has no certificate at all.
  bool client_showed_nothing() const { return client_showed_nothing_; }
  // Why the handshake failed, for the audit.
  const std::string& error() const { return error_; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  TlsStream(SSL* ssl, int fd) : ssl_(ssl), fd_(fd) {}
  Progress Failure(int result);

  std::unique_ptr<SSL, Free> ssl_;
  int fd_;
  ByteQueue out_;
  std::string error_;
  bool client_showed_nothing_ = false;
};

}  // namespace stele
