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

void Put(absl::Duration duration, google::protobuf::Duration* message) {
  int64_t ns = absl::ToInt64Nanoseconds(duration);
  message->set_seconds(ns / 1'000'000'000);
  message->set_nanos(static_cast<int32_t>(ns % 1'000'000'000));
}

}  // namespace stele::machined
