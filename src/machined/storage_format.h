// Making and mending what a disk holds. Blocks; for worker threads.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machined/storage_layout.h"
#include "machined/storage_probe.h"

namespace stele::machined {

// Programs of the image; other places in tests.
struct StorageTools {
  std::string mke2fs = "/usr/sbin/mke2fs";
  std::string e2fsck = "/usr/sbin/e2fsck";
};

// Makes our partitions, with their file systems, on an empty disk. FAILED_PRECONDITION, and nothing is
// written, when it holds anything at all or is in use. The partition table is written last, in one step
// that follows a flush: a power cut before it leaves a disk that still counts as empty.
absl::Status FormatEmptyDisk(const std::string& disk, const StorageTools& tools);

// Makes an ext4 of `size` bytes at `offset` of a device or file, with what the folder `contents` holds (empty:
// nothing).
absl::Status MakeExt4(const std::string& device, uint64_t offset, uint64_t size, const std::string& label,
                      const StorageTools& tools, const std::string& contents = "");

// Makes a file system in a partition of ours that has none.
absl::Status FormatPartition(const std::string& disk, const Partition& partition, const StorageTools& tools);

// Replays the journal and mends what can be mended without loss; what cannot, with loss, where `force`
// says so. DATA_LOSS when it stays broken.
absl::Status CheckFilesystem(const std::string& device, bool force, const StorageTools& tools);

}  // namespace stele::machined
