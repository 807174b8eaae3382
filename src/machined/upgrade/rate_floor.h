// How slow a sender may be. Only the time in which we waited for it counts, not what our own disk took. Pure.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

class RateFloor {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(60);  // usually
  static constexpr uint64_t kBytesPerSecond = 16 * 1024;

  explicit RateFloor(absl::Duration window = kWindow) : window_(window) {}

  // `bytes` came after we had waited so long. DEADLINE_EXCEEDED when a window of waiting brought too few.
  absl::Status Add(absl::Duration waited, uint64_t bytes) {
    waited_ += waited;
    bytes_ += bytes;
    if (waited_ < window_) return absl::OkStatus();
    if (bytes_ < static_cast<uint64_t>(absl::ToDoubleSeconds(waited_) * kBytesPerSecond)) {
      return absl::DeadlineExceededError(absl::StrCat("only ", bytes_, " bytes arrived in ",
                                                      absl::FormatDuration(waited_),
                                                      "; at least 16 KiB a second are expected"));
    }
    waited_ = absl::ZeroDuration();
    bytes_ = 0;
    return absl::OkStatus();
  }

 private:
  absl::Duration window_;
  absl::Duration waited_;
  uint64_t bytes_ = 0;
};

}  // namespace stele::machined
