// Where a part of an image is written: a root slot (slot_device.h), or a file on the ESP (esp_folder.h).
// Blocks; any thread, one at a time.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "machined/upgrade/chunks.h"
#include "machined/upgrade/direct_io.h"

namespace stele::machined {

class StageTarget {
 public:
  virtual ~StageTarget() = default;

  // How much of the part is there already: whole chunks, by their hashes, as the disk has them.
  virtual absl::StatusOr<uint64_t> MatchingPrefix(const PartHashes& part, const KeepGoing& keep_going) const = 0;
  // `offset` is a multiple of 4096, `bytes` too, save at the part's end.
  virtual absl::Status Write(uint64_t offset, absl::string_view bytes) = 0;
  // What was written is on the disk, and out of the page cache.
  virtual absl::Status Flush() = 0;
  // Flushes, and gives bytes [begin, end) as the disk has them. `begin` is a multiple of 4096.
  virtual absl::Status ReadBack(uint64_t begin, uint64_t end, const ReadSink& sink) = 0;

 protected:
  StageTarget() = default;
  StageTarget(StageTarget&&) = default;
  StageTarget& operator=(StageTarget&&) = default;
};

}  // namespace stele::machined
