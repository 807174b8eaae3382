// Times as the protos carry them.
#pragma once

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"

namespace stele::machined {

inline void SetDuration(absl::Duration time, google::protobuf::Duration* out) {
  out->set_seconds(absl::IDivDuration(time, absl::Seconds(1), &time));
  out->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(time)));
}

}  // namespace stele::machined
