// A regular file's bytes, piece by piece, and what it gets while it is followed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::machined {

struct ReadRange {
  uint64_t offset = 0;
  uint64_t limit_bytes = 0;  // 0: to the end
  uint64_t tail_bytes = 0;   // instead of the offset: so many before the end
  bool follow = false;
};

struct ReadHands {
  // Takes the bytes at `offset`; may swap them for a buffer to use next.
  std::function<absl::Status(uint64_t offset, std::string& bytes)> take;
  // Between two looks at a followed file; an error ends it.
  std::function<absl::Status()> pause;
};

// A file whose size is not told (below /proc) is read to its end, but never more than this.
inline constexpr uint64_t kMaxSizeless = 64 << 20;

// Reads what `file` holds now, and with `follow` what it gets, until it was deleted. One that was made shorter goes on
// at its beginning.
absl::Status ReadFileRange(int file, const ReadRange& range, const ReadHands& hands);

}  // namespace stele::machined
