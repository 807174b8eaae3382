// The partitions of a disk by their GUIDs: which disk did the loader come from?
//
// The kernel tells a partition's name but not its GUID (PARTUUID), so the table is read. Only what a
// good table says counts: signature, bounds and both checksums, of the first header or else of the
// one at the disk's end.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace stele::init {

struct GptPartition {
  uint32_t number = 0;  // from 1, as in the kernel's device name
  std::string uuid;     // lower case, with dashes
};

// The table on the open disk `fd` with sectors of `sector_size` (512 to 4096) and `size` bytes.
// NOT_FOUND for a disk without one, DATA_LOSS for one that is broken.
absl::StatusOr<std::vector<GptPartition>> ReadGpt(int fd, uint32_t sector_size, uint64_t size);

}  // namespace stele::init
