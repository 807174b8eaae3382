// Where a log's bytes come from: a service's segments, the kernel, a container's file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

// Bytes with one owner and no zeroing: log chunks go from the file to the socket without a copy.
class LogBuffer {
 public:
  LogBuffer() = default;
  explicit LogBuffer(size_t capacity) : bytes_(new char[capacity]) {}
  char* data() { return bytes_.get(); }
  size_t size() const { return size_; }
  void set_size(size_t size) { size_ = size; }
  absl::string_view view() const { return {bytes_.get(), size_}; }
  char* release() { return bytes_.release(); }  // for delete[]

 private:
  std::unique_ptr<char[]> bytes_;
  size_t size_ = 0;
};

// Whole lines, each ended by a newline; only a line longer than a chunk comes in pieces.
struct LogChunk {
  LogBuffer data;
  std::string cursor;  // stands for the place after `data`
  struct Mark {
    uint32_t offset = 0;  // in `data`: what follows was written at `time`
    absl::Time time;
    uint32_t source = 0;  // of a merged log: whose it is
  };
  std::vector<Mark> marks;
  uint64_t lost_bytes = 0;
  bool more = false;  // without data: there is more to read all the same, ask again
};

// Just after `lines` lines behind what `cursor` stands for.
struct LogPlace {
  std::string cursor;
  uint64_t lines = 0;
};

inline constexpr size_t kLogChunk = 512 * 1024;

struct LogStart {
  std::string cursor;       // just after this; else:
  uint32_t tail_lines = 0;  // 0: from the oldest kept line
  absl::Time since = absl::InfinitePast();
  bool follow = true;  // also what is written later; else it ends where the log ends when it is opened
};

// Used by one reader; not by two threads at once.
class LogSource {
 public:
  virtual ~LogSource() = default;
  // The next chunk; one without data, without loss and without `more` when there is nothing more now.
  virtual absl::StatusOr<LogChunk> Next() = 0;
  // Where the next chunk begins.
  virtual LogPlace Place() const = 0;
  // Whether Next may wait for a disk, or thinks for long.
  virtual bool MayBlock() const { return false; }
};

}  // namespace stele::machined
