#include "machined/upgrade/direct_io.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace stele::machined {

absl::StatusOr<UniqueFd> OpenDirect(int directory, const std::string& name, int flags) {
  UniqueFd fd(::openat(directory, name.c_str(), flags | O_DIRECT | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok() && errno == EINVAL) fd.reset(::openat(directory, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return ErrnoStatus("open ", name);
  return fd;
}

absl::Status ReadDirect(int fd, uint64_t offset, uint64_t size, DirectBuffer& buffer, const ReadSink& sink) {
  if (buffer.data() == nullptr) return absl::ResourceExhaustedError("no memory for a buffer");
  while (size > 0) {
    // Whole blocks are asked for; a file's last one comes short.
    size_t wanted = std::min<uint64_t>(size, kDirectBuffer);
    size_t asked = (wanted + kDirectAlign - 1) / kDirectAlign * kDirectAlign;
    ssize_t got = ::pread(fd, buffer.data(), asked, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read at ", offset);
    size_t taken = std::min<size_t>(got, wanted);
    // A short read in the middle would leave the next offset unaligned.
    if (taken < wanted && taken % kDirectAlign != 0)
      return absl::DataLossError(absl::StrCat("it ends at ", offset + taken));
    if (taken == 0) return absl::DataLossError(absl::StrCat("it ends at ", offset));
    RETURN_IF_ERROR(sink(absl::string_view(buffer.data(), taken)));
    offset += taken;
    size -= taken;
  }
  return absl::OkStatus();
}

void DropCache(int fd) { ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); }

}  // namespace stele::machined
