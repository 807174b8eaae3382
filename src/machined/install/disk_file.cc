#include "machined/install/disk_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

namespace stele::machined {
namespace {

constexpr size_t kPiece = 1 << 20;
constexpr size_t kAlign = 4096;

absl::Status ReadInto(int fd, uint64_t offset, char* bytes, size_t size, const std::string& path) {
  for (size_t done = 0; done < size;) {
    ssize_t got = ::pread(fd, bytes + done, size - done, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read ", path, " at ", offset + done);
    if (got == 0) return absl::DataLossError(absl::StrCat(path, " ends at ", offset + done));
    done += got;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DiskFile> DiskFile::Open(const std::string& path, uint32_t sector_size) {
  DiskFile disk;
  disk.path_ = path;
  disk.fd_.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!disk.fd_.ok()) return ErrnoStatus("open ", path);
  struct stat info;
  if (::fstat(disk.fd(), &info) != 0) return ErrnoStatus("stat ", path);
  disk.is_block_ = S_ISBLK(info.st_mode);
  if (!disk.is_block_ && !S_ISREG(info.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is no disk"));
  off_t end = ::lseek(disk.fd(), 0, SEEK_END);
  if (end < 0) return ErrnoStatus("find the size of ", path);
  disk.size_ = end;
  int device_sector = 512;
  if (disk.is_block_ && ::ioctl(disk.fd(), BLKSSZGET, &device_sector) != 0)
    return ErrnoStatus("ask ", path, " for its sectors");
  disk.sector_size_ = sector_size != 0 ? sector_size : device_sector;
  return disk;
}

absl::StatusOr<std::string> DiskFile::Read(uint64_t offset, size_t size) const {
  std::string bytes(size, '\0');
  RETURN_IF_ERROR(ReadInto(fd(), offset, bytes.data(), size, path_));
  return bytes;
}

absl::Status DiskFile::Write(uint64_t offset, absl::string_view bytes) const {
  while (!bytes.empty()) {
    ssize_t written = ::pwrite(fd(), bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus("write ", path_, " at ", offset);
    bytes.remove_prefix(written);
    offset += written;
  }
  return absl::OkStatus();
}

absl::Status DiskFile::Zero(uint64_t offset, uint64_t size) const {
  std::string zeros(std::min<uint64_t>(size, kPiece), '\0');
  for (uint64_t done = 0; done < size; done += zeros.size()) {
    absl::string_view piece = absl::string_view(zeros).substr(0, std::min<uint64_t>(zeros.size(), size - done));
    RETURN_IF_ERROR(Write(offset + done, piece));
  }
  return absl::OkStatus();
}

absl::Status DiskFile::Flush() const {
  if (::fsync(fd()) != 0) return ErrnoStatus("flush ", path_);
  return absl::OkStatus();
}

absl::Status DiskFile::DropPages() const {
  if (is_block_ && ::ioctl(fd(), BLKFLSBUF) != 0) return ErrnoStatus("drop the cache of ", path_);
  // Advice: for pages that stay there is O_DIRECT.
  static_cast<void>(::posix_fadvise(fd(), 0, 0, POSIX_FADV_DONTNEED));
  return absl::OkStatus();
}

absl::Status DiskFile::ReadBack(uint64_t offset, uint64_t size, const Sink& sink) const {
  UniqueFd direct(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT));
  // An image file on tmpfs has no disk behind it.
  if (!direct.ok() && errno == EINVAL) direct.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  if (!direct.ok()) return ErrnoStatus("open ", path_, " to read it back");
  std::unique_ptr<char, decltype(&std::free)> buffer(static_cast<char*>(std::aligned_alloc(kAlign, kPiece)), std::free);
  if (buffer == nullptr) return absl::ResourceExhaustedError("no memory to read back");
  for (uint64_t done = 0; done < size;) {
    size_t piece = std::min<uint64_t>(kPiece, size - done);
    RETURN_IF_ERROR(ReadInto(direct.get(), offset + done, buffer.get(), piece, path_));
    RETURN_IF_ERROR(sink(offset + done, absl::string_view(buffer.get(), piece)));
    done += piece;
  }
  return absl::OkStatus();
}

}  // namespace stele::machined
