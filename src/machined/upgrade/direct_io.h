// Reads and writes past the page cache: what is read back comes from the disk, and writing a gigabyte
// costs one buffer of memory.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::machined {

inline constexpr size_t kDirectAlign = 4096;
inline constexpr size_t kDirectBuffer = 1 << 20;

// Memory that O_DIRECT takes: kDirectBuffer bytes, aligned.
class DirectBuffer {
 public:
  DirectBuffer() : bytes_(static_cast<char*>(std::aligned_alloc(kDirectAlign, kDirectBuffer)), std::free) {}
  char* data() { return bytes_.get(); }

 private:
  std::unique_ptr<char, decltype(&std::free)> bytes_;
};

// Opens `name` below `directory` (AT_FDCWD: a path) with O_DIRECT. A file system without a disk behind it
// (tmpfs) has no such thing: there the file is opened without.
absl::StatusOr<UniqueFd> OpenDirect(int directory, const std::string& name, int flags);

// Gives bytes [offset, offset + size) to `sink` in pieces of at most kDirectBuffer. `offset` is a
// multiple of kDirectAlign. DATA_LOSS when the file ends before.
using ReadSink = std::function<absl::Status(absl::string_view)>;
absl::Status ReadDirect(int fd, uint64_t offset, uint64_t size, DirectBuffer& buffer, const ReadSink& sink);

// Forgets what the page cache has of the file; what is not on the disk yet stays.
void DropCache(int fd);

}  // namespace stele::machined
