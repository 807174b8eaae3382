// How long this machine has been up.
#pragma once

#include <ctime>

#include "absl/time/time.h"

namespace stele::machined {

// Since the kernel started, sleep included (CLOCK_BOOTTIME): no step of the wall clock moves it.
inline absl::Duration Uptime() {
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

}  // namespace stele::machined
