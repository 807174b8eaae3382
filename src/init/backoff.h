// How long a service waits before its next start.
#pragma once

#include <cstdint>

namespace stele::init {

// 0.1 s after the first end, twice as long after each further one, at most what the spec
// says (30 s), and each up to a
// tenth shorter or longer so that services that ended together do not start together for ever.
// A process that was up for a minute counts as having started well: the next wait is 0.1 s again.
class Backoff {
 public:
  static constexpr uint64_t kFirstMs = 100;
  static constexpr uint64_t kGoodMs = 60'000;

  // The wait after a process that was up for `up_ms`; `random` is any number.
  uint64_t NextMs(uint64_t up_ms, uint64_t longest_ms, uint32_t random) {
    if (up_ms >= kGoodMs) failures_ = 0;
    uint64_t nominal = kFirstMs << failures_;
    if (nominal >= longest_ms) {
      nominal = longest_ms;
    } else {
      ++failures_;
    }
    return nominal * 9 / 10 + random % (nominal / 5 + 1);
  }
  void Reset() { failures_ = 0; }

 private:
  uint32_t failures_ = 0;  // bounded: 0.1 s << 13 is above every longest_ms there may be
};

}  // namespace stele::init
