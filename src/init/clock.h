// The one clock of init: since the kernel started, suspend included.
#pragma once

#include <cstdint>
#include <ctime>

namespace stele::init {

inline constexpr uint64_t kMillisecond = 1'000'000;  // in nanoseconds
inline constexpr uint64_t kSecond = 1'000'000'000;
inline constexpr uint64_t kNever = UINT64_MAX;

inline uint64_t Now() {
  timespec time;
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * kSecond + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace stele::init
