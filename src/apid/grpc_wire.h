// The little that apid must know of gRPC over HTTP/2: message lengths, status, text in headers.
// Message bodies are never looked into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace stele {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Watches a stream of length-prefixed messages go by and stops one that is too long. Messages may be
// cut anywhere.
class MessageMeter {
 public:
  explicit MessageMeter(uint32_t limit) : limit_(limit) {}
  // RESOURCE_EXHAUSTED once a message announces more than the limit.
  absl::Status Feed(const uint8_t* data, size_t size);

 private:
  uint32_t limit_;
  uint8_t prefix_[5] = {};
  size_t prefix_size_ = 0;
  uint64_t body_left_ = 0;
};

// Text for grpc-message and for our identity headers: printable ASCII, everything else as %XX.
std::string PercentEncode(absl::string_view text);

// The value of `name`, or "".
absl::string_view FindHeader(const Headers& headers, absl::string_view name);

// A trailers-only answer with this status.
Headers StatusHeaders(const absl::Status& status);
// The trailers that end a stream with this status.
Headers StatusTrailers(const absl::Status& status);

// The name of a decimal grpc-status, for the audit; "UNKNOWN" when it is none.
absl::string_view StatusName(absl::string_view grpc_status);

// What gRPC clients are told when an HTTP/2 stream was reset with this code.
absl::StatusCode CodeFromReset(uint32_t http2_error);

}  // namespace stele
