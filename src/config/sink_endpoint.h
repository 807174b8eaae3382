// Where logs are forwarded to: "tls://logs.example.org:6514".
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::config {

struct SinkEndpoint {
  std::string protocol;  // tcp, tls, udp
  std::string host;      // a name or an address, without brackets
  uint16_t port = 0;
};

// INVALID_ARGUMENT says what was expected.
absl::StatusOr<SinkEndpoint> ParseSinkEndpoint(absl::string_view text);

}  // namespace stele::config
