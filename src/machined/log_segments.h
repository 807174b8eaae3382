// A service's log on tmpfs: segments named after the offset of their first byte in the whole log,
// so that a place in the log is one number for the life of the boot. Beside each is an index of
// (offset, time) records.
//
//   /run/stele/log/kubelet/0000000000000000.log   first 2 MiB of the kubelet's log
//   /run/stele/log/kubelet/0000000000200044.log   what follows; the file that is written now
//
// One writer (LogWriter, on the owner thread) appends by splice(2); readers open the files
// themselves, in any thread. A segment is final as soon as one exists that begins at its end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/log_source.h"

namespace stele::machined {

std::string SegmentPath(const std::string& directory, uint64_t start);
std::string IndexPath(const std::string& directory, uint64_t start);
// First bytes of the segments there are, ascending.
std::vector<uint64_t> ListSegments(const std::string& directory);

// One record of an index: bytes from `offset` (of the whole log) on were written at `time_ns`.
struct LogTime {
  uint64_t offset = 0;
  int64_t time_ns = 0;
};

// Writes `text`, of which bytes from times[].offset on are of times[].time_ns, as a log of one segment, which may not
// be there yet; of a longer text the last `most` bytes, from a line's beginning on.
absl::Status WriteLog(const std::string& directory, absl::string_view text, const std::vector<LogTime>& times,
                      uint64_t most);

// The last `most` bytes of a log, from a line's beginning on, with their times and places.
absl::Status CopyLogEnd(const std::string& from, const std::string& to, uint64_t most);

// Moves what a pipe holds to the end of the log. Owner thread only.
//
// The place to write at is the size of the newest segment, so nothing is remembered that a kill
// could lose: the kernel takes bytes off the pipe and appends them within one system call.
class LogWriter {
 public:
  static constexpr uint64_t kSegmentSize = 2 << 20;
  static constexpr size_t kSegmentsKept = 2;

  static absl::StatusOr<LogWriter> Open(const std::string& directory);
  LogWriter(LogWriter&&) = default;
  LogWriter& operator=(LogWriter&&) = default;

  // Moves up to `most` bytes; 0 when the pipe is empty.
  absl::StatusOr<size_t> MoveFrom(int pipe, size_t most);
  // Drops the oldest kept segment: the file system is full.
  void DropOldest();

 private:
  explicit LogWriter(std::string directory) : directory_(std::move(directory)) {}
  absl::Status OpenSegment(uint64_t start);
  absl::Status RotateIfDue();
  void RecordTime();

  std::string directory_;
  UniqueFd segment_;
  UniqueFd index_;
  uint64_t start_ = 0;
  uint64_t size_ = 0;
  uint64_t index_size_ = 0;
  int64_t recorded_ns_ = 0;
};

// Reads a service's log. `boot` tells cursors of this boot from those of others.
class SegmentReader : public LogSource {
 public:
  static absl::StatusOr<std::unique_ptr<SegmentReader>> Open(std::string directory, std::string boot,
                                                             const LogStart& from);
  absl::StatusOr<LogChunk> Next() override;
  LogPlace Place() const override { return {.cursor = Cursor()}; }

 private:
  SegmentReader(std::string directory, std::string boot) : directory_(std::move(directory)), boot_(std::move(boot)) {}
  absl::Status Begin(const LogStart& from);
  std::string Cursor() const;
  uint64_t FindEnd() const;
  uint64_t FindTail(uint32_t lines) const;
  uint64_t FindSince(absl::Time since) const;
  uint64_t LineAfter(uint64_t place) const;
  // Opens the segment that holds `place_`; moves `place_` on where that is gone.
  absl::Status OpenAtPlace(uint64_t& lost);
  absl::StatusOr<bool> ReadInto(LogChunk& chunk);
  absl::StatusOr<bool> ReadAcross(uint64_t size, LogChunk& chunk);
  void Give(LogBuffer buffer, size_t size, LogChunk& chunk);
  void AddMarks(uint64_t begin, uint64_t end, LogChunk& chunk);

  std::string directory_;
  std::string boot_;
  uint64_t place_ = 0;
  uint64_t end_ = UINT64_MAX;  // where a reader that does not follow ends
  uint64_t start_ = 0;
  UniqueFd segment_;
  std::vector<LogTime> times_;  // of the open segment, as far as read
  size_t times_read_ = 0;       // bytes of the index
};

}  // namespace stele::machined
