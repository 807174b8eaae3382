// What is on a disk, read without changing it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

struct Partition {
  std::string label;   // of the GPT entry
  std::string uuid;    // of the GPT entry, lower case
  std::string device;  // /dev/vda2; empty on an image file
  std::string fstype;  // ext4 …; empty when nothing is known in it
  int number = 0;
  uint64_t start = 0;  // bytes
  uint64_t size = 0;
};

struct DiskContents {
  uint64_t size = 0;
  // What is there: "gpt", "dos", "ext4", "data" for bytes that nothing recognizes; empty on an empty disk.
  std::string found;
  std::vector<Partition> partitions;
};

// `disk` is a block device or an image file. An empty disk is one where libblkid knows nothing and the
// first and last MiB are zero: a disk with an unknown format is somebody's, too.
absl::StatusOr<DiskContents> ProbeDisk(const std::string& disk);

// The partition with this label, or null.
const Partition* FindPartition(const DiskContents& contents, const std::string& label);

// Whole disks of this machine that could hold a system, such as /dev/vda, without hidden ones; by name.
std::vector<std::string> WholeDisks(const std::string& sys_block = "/sys/block");

}  // namespace stele::machined
