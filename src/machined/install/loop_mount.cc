#include "machined/install/loop_mount.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/unique_fd.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

// Somebody else may take the number that the kernel just named as free.
constexpr int kAttempts = 32;

bool IsBlockDevice(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode);
}

}  // namespace

absl::StatusOr<LoopDevice> LoopDevice::Open(const LoopRange& range, bool read_only) {
  if (range.offset == 0 && IsBlockDevice(range.disk)) return LoopDevice(range.disk, UniqueFd());
  return SetUp(range, read_only);
}

absl::StatusOr<LoopDevice> LoopDevice::SetUp(const LoopRange& range, bool read_only) {
  UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.ok()) return ErrnoStatus("open /dev/loop-control");
  UniqueFd disk(::open(range.disk.c_str(), (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
  if (!disk.ok()) return ErrnoStatus("open ", range.disk);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoStatus("find a free loop device");
    std::string path = absl::StrCat("/dev/loop", number);
    UniqueFd loop(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!loop.ok()) return ErrnoStatus("open ", path);
    loop_config config = {};
    config.fd = disk.get();
    config.block_size = range.sector_size;
    config.info.lo_offset = range.offset;
    config.info.lo_sizelimit = range.size;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO | (read_only ? LO_FLAGS_READ_ONLY : 0);
    if (::ioctl(loop.get(), LOOP_CONFIGURE, &config) == 0) return LoopDevice(std::move(path), std::move(loop));
    if (errno != EBUSY) return ErrnoStatus("set up ", path, " on ", range.disk);
  }
  return absl::ResourceExhaustedError("every loop device is taken by others");
}

absl::StatusOr<LoopMount> LoopMount::Create(const LoopRange& range, const std::string& fstype,
                                            const std::string& target, bool read_only) {
  ASSIGN_OR_RETURN(LoopDevice loop, LoopDevice::Open(range, read_only));
  std::string options = absl::StrCat(read_only ? "ro" : "rw", ",nosuid,nodev,noexec");
  if (read_only && fstype == "ext4") options += ",noload";  // looking at a disk replays no journal
  RETURN_IF_ERROR(MountFilesystem(loop.path(), target, fstype, options));
  return LoopMount(target);  // the mount holds the device from here on; with it goes the device
}

LoopMount& LoopMount::operator=(LoopMount&& other) noexcept {
  if (this != &other) {
    Detach();
    target_ = std::exchange(other.target_, "");
  }
  return *this;
}

absl::Status LoopMount::Close() {
  if (target_.empty()) return absl::OkStatus();
  {
    UniqueFd folder(::open(target_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.ok()) return ErrnoStatus("open ", target_);
    if (::syncfs(folder.get()) != 0) return ErrnoStatus("sync ", target_);
  }
  if (::umount2(target_.c_str(), 0) != 0) return ErrnoStatus("unmount ", target_);
  target_.clear();
  return absl::OkStatus();
}

void LoopMount::Detach() {
  if (!target_.empty()) ::umount2(target_.c_str(), MNT_DETACH);
  target_.clear();
}

void UnmountLeftover(const std::string& target) {
  for (int i = 0; i < 8 && ::umount2(target.c_str(), MNT_DETACH) == 0; ++i) {
  }
}

}  // namespace stele::machined
