// A root slot: the partition, or any file, that takes an image's root part. Past the page cache, so
// that writing a slot costs one buffer of memory and what is read back comes from the disk.
// Blocks; any thread, one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/upgrade/stage_target.h"

namespace stele::machined {

class SlotDevice : public StageTarget {
 public:
  // FAILED_PRECONDITION for a device that something has mounted or mapped: the running slot is one.
  static absl::StatusOr<SlotDevice> Open(const std::string& path);

  uint64_t capacity() const { return capacity_; }
  absl::StatusOr<uint64_t> MatchingPrefix(const PartHashes& part, const KeepGoing& keep_going) const override {
    return machined::MatchingPrefix(fd_.get(), part, keep_going);
  }
  // Zeros follow the part's end, up to a multiple of 4096.
  absl::Status Write(uint64_t offset, absl::string_view bytes) override;
  absl::Status Flush() override;
  absl::Status ReadBack(uint64_t begin, uint64_t end, const ReadSink& sink) override;
  // Reads all of it back. DATA_LOSS where it is not the part.
  absl::Status Verify(const PartHashes& part, const KeepGoing& keep_going) const;

 private:
  SlotDevice(UniqueFd fd, std::string path, uint64_t capacity)
      : fd_(std::move(fd)), path_(std::move(path)), capacity_(capacity), buffer_(std::make_unique<DirectBuffer>()) {}

  UniqueFd fd_;
  std::string path_;
  uint64_t capacity_;
  std::unique_ptr<DirectBuffer> buffer_;
};

}  // namespace stele::machined
