// The hardware watchdog, if the machine has one: resets it when init's loop stands still.
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"
#include "init/clock.h"

namespace stele::init {

class Watchdog {
 public:
  static constexpr int kTimeoutSeconds = 30;
  static constexpr uint64_t kFeedEvery = 5 * kSecond;

  // NOT_FOUND where there is none. From now on it must be fed; it is never switched off again, so
  // that it also resets a machine whose end is stuck in the kernel.
  absl::Status Open(const char* path = "/dev/watchdog");
  void Feed(uint64_t now);
  uint64_t next_deadline() const { return device_.ok() ? next_feed_ : kNever; }

 private:
  UniqueFd device_;
  uint64_t next_feed_ = 0;
};

}  // namespace stele::init
