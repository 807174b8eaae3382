#include "machined/network_debug/request_bounds.h"

namespace stele::machined {

absl::StatusOr<absl::Duration> Bounded(bool present, const google::protobuf::Duration& message,
                                       const DurationBounds& bounds) {
  if (!present) return bounds.fallback;
  absl::Duration value = absl::Seconds(message.seconds()) + absl::Nanoseconds(message.nanos());
  if (value < bounds.least || value > bounds.most) {
    return absl::InvalidArgumentError(absl::StrCat(bounds.name, " must be between ", absl::FormatDuration(bounds.least),
                                                   " and ", absl::FormatDuration(bounds.most)));
  }
  return value;
}

absl::Status CheckNumber(uint64_t value, const NumberBounds& bounds) {
  if (value >= bounds.least && value <= bounds.most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(bounds.name, " must be between ", bounds.least, " and ", bounds.most));
}

}  // namespace stele::machined
