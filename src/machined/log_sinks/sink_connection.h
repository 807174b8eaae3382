// A connection to a receiver of logs: TCP, TLS over it, or UDP. Blocks, within bounds.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "base/status.h"

namespace stele::machined {

enum class SinkProtocol : unsigned char { kTcp, kTls, kUdp };
absl::optional<SinkProtocol> ParseSinkProtocol(absl::string_view text);

struct SinkTarget {
  SinkProtocol protocol = SinkProtocol::kTcp;
  std::string host, port;
  std::string ca = {};           // TLS: PEM; empty: the system's
  std::string certificate = {};  // TLS: the node's own, PEM; empty: none
  std::string key = {};
};

class SinkConnection {
 public:
  virtual ~SinkConnection() = default;
  // Looks the host up and tries its addresses, 10 s each; with TLS the handshake, which checks the receiver's
  // certificate and name.
  static absl::StatusOr<std::unique_ptr<SinkConnection>> Open(const SinkTarget& target);

  // Hands all of it to the network, or fails: then the receiver may have a part. Waits at most 30 s for the receiver.
  virtual absl::Status Send(absl::string_view bytes) = 0;
  // Reads what has come and forgets it. An error when the receiver has closed.
  virtual absl::Status Listen() = 0;
  virtual int fd() const = 0;
};

}  // namespace stele::machined
