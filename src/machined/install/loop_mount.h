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
#include "base/unique_fd.h"

namespace stele::machined {

struct LoopRange {
  std::string disk;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t sector_size = 512;
};

// A device for the range while this lasts, and while something is mounted from it. One that is wanted from its start is
// what it is: an installed node has no loop driver.
class LoopDevice {
 public:
  static absl::StatusOr<LoopDevice> Open(const LoopRange& range, bool read_only);
  const std::string& path() const { return path_; }

 private:
  LoopDevice(std::string path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  static absl::StatusOr<LoopDevice> SetUp(const LoopRange& range, bool read_only);
  std::string path_;
  UniqueFd fd_;  // none without a loop
};

class LoopMount {
 public:
  // Mounted at `target` (made when missing). Reads and writes pass by the disk's page cache, where its driver can. A
  // device that is wanted from its start is mounted as it is.
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
