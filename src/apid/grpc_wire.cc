#include "apid/grpc_wire.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace stele {

absl::Status MessageMeter::Feed(const uint8_t* data, size_t size) {
  while (size > 0) {
    if (body_left_ > 0) {
      size_t step = static_cast<size_t>(std::min<uint64_t>(body_left_, size));
      body_left_ -= step;
      data += step;
      size -= step;
      continue;
    }
    prefix_[prefix_size_++] = *data++;
    --size;
    if (prefix_size_ < sizeof prefix_) continue;
    prefix_size_ = 0;
    uint32_t length = static_cast<uint32_t>(prefix_[1]) << 24 | static_cast<uint32_t>(prefix_[2]) << 16 |
                      static_cast<uint32_t>(prefix_[3]) << 8 | prefix_[4];
    if (length > limit_) {
      return absl::ResourceExhaustedError(absl::StrCat("a message of ", length, " bytes; the limit is ", limit_));
    }
    body_left_ = length;
  }
  return absl::OkStatus();
}

std::string PercentEncode(absl::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && byte != '%') {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

absl::string_view FindHeader(const Headers& headers, absl::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

Headers StatusTrailers(const absl::Status& status) {
  return {{"grpc-status", absl::StrCat(static_cast<int>(status.code()))},
          {"grpc-message", PercentEncode(absl::string_view(status.message()))}};
}

Headers StatusHeaders(const absl::Status& status) {
  Headers headers = {{":status", "200"}, {"content-type", "application/grpc"}};
  for (auto& pair : StatusTrailers(status)) headers.push_back(std::move(pair));
  return headers;
}

absl::string_view StatusName(absl::string_view grpc_status) {
  static constexpr absl::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  uint32_t code = 0;
  if (!absl::SimpleAtoi(grpc_status, &code) || code >= std::size(kNames)) return "UNKNOWN";
  return kNames[code];
}

absl::StatusCode CodeFromReset(uint32_t http2_error) {
  switch (http2_error) {
    case 0x7:  // REFUSED_STREAM: it was never looked at
      return absl::StatusCode::kUnavailable;
    case 0x8:  // CANCEL
      return absl::StatusCode::kCancelled;
    case 0xb:  // ENHANCE_YOUR_CALM
      return absl::StatusCode::kResourceExhausted;
    case 0xc:  // INADEQUATE_SECURITY
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace stele
