#include "machined/upgrade/slot_device.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace stele::machined {

absl::StatusOr<SlotDevice> SlotDevice::Open(const std::string& path) {
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("stat ", path);
  if (!S_ISBLK(info.st_mode) && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is neither a partition nor a file"));
  }
  // O_EXCL on a block device: the kernel refuses one that is mounted or that device-mapper holds.
  absl::StatusOr<UniqueFd> fd = OpenDirect(AT_FDCWD, path, O_RDWR | (S_ISBLK(info.st_mode) ? O_EXCL : 0));
  if (absl::IsUnavailable(fd.status()))
    return absl::FailedPreconditionError(absl::StrCat(path, " is in use: it is not written"));
  RETURN_IF_ERROR(fd.status());
  off_t end = ::lseek(fd->get(), 0, SEEK_END);
  if (end < 0) return ErrnoStatus("find the size of ", path);
  return SlotDevice(*std::move(fd), path, end);
}

absl::Status SlotDevice::Write(uint64_t offset, absl::string_view bytes) {
  if (offset % kDirectAlign != 0)
    return absl::InternalError(absl::StrCat("write ", path_, " at ", offset, ": not aligned"));
  if (offset > capacity_ || bytes.size() > capacity_ - offset)
    return absl::InternalError("write past the end of " + path_);
  if (buffer_->data() == nullptr) return absl::ResourceExhaustedError("no memory for a buffer");
  while (!bytes.empty()) {
    size_t taken = std::min(bytes.size(), kDirectBuffer);
    size_t padded = (taken + kDirectAlign - 1) / kDirectAlign * kDirectAlign;
    std::memcpy(buffer_->data(), bytes.data(), taken);
    std::memset(buffer_->data() + taken, 0, padded - taken);
    for (size_t done = 0; done < padded;) {
      ssize_t put = ::pwrite(fd_.get(), buffer_->data() + done, padded - done, offset + done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return ErrnoStatus("write ", path_, " at ", offset + done);
      if (put == 0)
        return absl::DataLossError(absl::StrCat("write ", path_, " at ", offset + done, ": nothing was taken"));
      done += put;
    }
    bytes.remove_prefix(taken);
    offset += taken;
  }
  return absl::OkStatus();
}

absl::Status SlotDevice::Flush() {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus("fsync ", path_);
  DropCache(fd_.get());
  return absl::OkStatus();
}

absl::Status SlotDevice::ReadBack(uint64_t begin, uint64_t end, const ReadSink& sink) {
  RETURN_IF_ERROR(Flush());
  return Annotate(ReadDirect(fd_.get(), begin, end - begin, *buffer_, sink), absl::StrCat("read back ", path_));
}

absl::Status SlotDevice::Verify(const PartHashes& part, const KeepGoing& keep_going) const {
  DropCache(fd_.get());
  return Annotate(CompareAll(fd_.get(), part, keep_going), absl::StrCat("read back ", path_));
}

}  // namespace stele::machined
