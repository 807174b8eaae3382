// A file system at an offset of a disk, mounted through a loop device.
//
// An installation fills file systems before the disk has a table, so there are no partitions to mount. Telling the
// kernel of them (BLKPG_ADD_PARTITION) would also make udev, and whoever looks for our partitions by name, find a disk
// that is not installed yet; and they would stay when machined is killed. A loop device is nobody's business and goes
// with its mount.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace stele::machined {

struct LoopRange {
  std::string disk;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t sector_size = 512;
};

class LoopMount {
 public:
  // Mounted at `target` (made when missing). Reads and writes pass by the disk's page cache, where its driver can. A
  // device that is wanted from its start is mounted as it is: an installed node has no loop driver.
  static absl::StatusOr<LoopMount> Create(const LoopRange& range, const std::string& fstype, const std::string& target,
                                          bool read_only);
  LoopMount(LoopMount&& other) noexcept : target_(std::exchange(other.target_, "")) {}
  LoopMount& operator=(LoopMount&& other) noexcept;
  ~LoopMount() { Detach(); }

  const std::string& path() const { return target_; }
  // Syncs and unmounts; what could not be written is told here.
  absl::Status Close();

 private:
  explicit LoopMount(std::string target) : target_(std::move(target)) {}
  void Detach();
  std::string target_;  // empty: nothing mounted
};

// What a machined that was killed left mounted there.
void UnmountLeftover(const std::string& target);

}  // namespace stele::machined
