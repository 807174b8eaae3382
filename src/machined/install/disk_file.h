// A disk, or an image file that stands for one, opened for writing: every byte at an offset, flushed when told, and
// read back past the page cache.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::machined {

class DiskFile {
 public:
  // `sector_size` 0: the device's; 512 for an image file.
  static absl::StatusOr<DiskFile> Open(const std::string& path, uint32_t sector_size = 0);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  uint32_t sector_size() const { return sector_size_; }
  bool is_block() const { return is_block_; }

  absl::StatusOr<std::string> Read(uint64_t offset, size_t size) const;
  absl::Status Write(uint64_t offset, absl::string_view bytes) const;
  absl::Status Zero(uint64_t offset, uint64_t size) const;
  // Onto the disk, and out of the disk's own cache.
  absl::Status Flush() const;
  // After a flush: forgets what the page cache has, so that what is read next comes from the disk.
  absl::Status DropPages() const;

  // The bytes in pieces of up to 1 MiB, by O_DIRECT. Offset and size are multiples of 4096.
  using Sink = std::function<absl::Status(uint64_t offset, absl::string_view bytes)>;
  absl::Status ReadBack(uint64_t offset, uint64_t size, const Sink& sink) const;

 private:
  DiskFile() = default;
  std::string path_;
  UniqueFd fd_;
  uint64_t size_ = 0;
  uint32_t sector_size_ = 512;
  bool is_block_ = false;
};

}  // namespace stele::machined
