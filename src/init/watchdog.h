// The hardware watchdog, if the machine has one: resets it when init's loop stands still.
#pragma once

#include "base/status.h"
#include "base/unique_fd.h"
#include "init/clock.h"

namespace stele::init {

class Watchdog {
 public:
  static constexpr int kTimeoutSeconds = 30;
  static constexpr int kBootTimeoutSeconds = 60;  // of the first stage, which only waits
  static constexpr uint64_t kFeedEvery = 5 * kSecond;

  // NOT_FOUND where there is none. From now on it must be fed; it is never switched off again, so
  // that it also resets a machine whose end is stuck in the kernel.
  absl::Status Open(int timeout_seconds, const char* path = "/dev/watchdog");
  // Takes over what the first stage opened and kept open over the execution of the second: closed in
  // between, a driver without the magic close would stop.
  absl::Status Adopt(int fd);
  // For the second stage: the descriptor, which survives exec; -1 for none.
  int HandOver();
  bool opened() const { return device_.ok(); }
  // Whether the watchdog ended the boot before, as far as its driver knows.
  bool reset_machine() const { return reset_machine_; }

  void Feed(uint64_t now);
  uint64_t next_deadline() const { return device_.ok() ? next_feed_ : kNever; }

 private:
  void SetUp(int timeout_seconds);
  UniqueFd device_;
  uint64_t next_feed_ = 0;
  bool reset_machine_ = false;
};

}  // namespace stele::init
