// What requests may ask for: missing values get their default, what is out of bounds is refused.
#pragma once

#include <google/protobuf/duration.pb.h>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

struct DurationBounds {
  const char* name;
  absl::Duration least, most, fallback;
};

// `message` has what `present` says.
absl::StatusOr<absl::Duration> Bounded(bool present, const google::protobuf::Duration& message,
                                       const DurationBounds& bounds);

struct NumberBounds {
  const char* name;
  uint64_t least, most;
};
absl::Status CheckNumber(uint64_t value, const NumberBounds& bounds);

}  // namespace stele::machined
