// Fewer lines of a log: those in which a pattern is found, those before a time, the last of them. Done where the log
// is, so that only what is wanted crosses the network.
//
// Patterns are RE2's: a text is looked at in time linear in its length, whatever the pattern is. What that leaves, the
// size of the pattern's program as a factor, is bounded too.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "machined/log_source.h"

namespace stele::machined {

inline constexpr size_t kMaxPattern = 512;       // bytes
inline constexpr int kMaxPatternProgram = 1000;  // steps

struct LineWish {
  std::string pattern;  // empty: every line
  bool invert = false;  // lines in which it is not found
  absl::Time until = absl::InfiniteFuture();
  uint32_t tail_lines = 0;  // the last so many of these; 0: all

  bool empty() const { return pattern.empty() && until == absl::InfiniteFuture() && tail_lines == 0; }
};

// INVALID_ARGUMENT says what is wrong with a pattern. Any thread.
absl::Status CheckPattern(const std::string& pattern);

// `source`, opened without a tail of its own, less what is not wished. Of one chunk after another: a read that has
// passed one over without finding anything says `more`. For the last lines at most 8 MiB are held back; more are not
// given. One user at a time, on any thread.
absl::StatusOr<std::unique_ptr<LogSource>> FilterLines(std::unique_ptr<LogSource> source, const LineWish& wish);

}  // namespace stele::machined
