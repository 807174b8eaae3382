#include "machined/upgrade/esp_mount.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

// The file system that is mounted at `target` is `device`'s.
absl::StatusOr<bool> IsMountedFrom(const std::string& device, const std::string& target) {
  struct stat block, folder;
  if (::stat(device.c_str(), &block) != 0) return ErrnoStatus("stat ", device);
  if (::stat(target.c_str(), &folder) != 0) return ErrnoStatus("stat ", target);
  return block.st_rdev == folder.st_dev;
}

}  // namespace

absl::Status EspMount::Mount() const {
  RETURN_IF_ERROR(MakeDirectories(target_, 0700));
  ASSIGN_OR_RETURN(bool mounted, IsMountedFrom(device_, target_));
  if (mounted) return absl::OkStatus();
  // Errors are returned and no more: a file that a power cut left without its clusters (esp_folder.cc) is one, and must
  // not make the ESP read-only for all that is written beside it.
  if (::mount(device_.c_str(), target_.c_str(), "vfat", kFlags | MS_RDONLY, "umask=0077,errors=continue") != 0) {
    return ErrnoStatus("mount the ESP ", device_, " on ", target_);
  }
  return absl::OkStatus();
}

absl::Status EspMount::MountReadOnly() const {
  if (device_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(Mount());
  struct statvfs info;
  if (::statvfs(target_.c_str(), &info) != 0) return ErrnoStatus("ask how ", target_, " is mounted");
  if ((info.f_flag & ST_RDONLY) != 0) return absl::OkStatus();
  // A machined that was killed in its window left it so.
  return EspWindow(target_).Close();
}

absl::StatusOr<EspWindow> EspMount::OpenWindow() const {
  if (device_.empty()) return EspWindow();
  RETURN_IF_ERROR(Mount());
  if (::mount("none", target_.c_str(), nullptr, MS_REMOUNT | kFlags, nullptr) != 0) {
    return ErrnoStatus("make the ESP writable at ", target_);
  }
  return EspWindow(target_);
}

absl::Status EspWindow::Close() {
  if (target_.empty()) return absl::OkStatus();
  std::string target = std::exchange(target_, "");
  UniqueFd folder(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return ErrnoStatus("open ", target);
  if (::syncfs(folder.get()) != 0) return ErrnoStatus("sync the ESP at ", target);
  if (::mount("none", target.c_str(), nullptr, MS_REMOUNT | MS_RDONLY | kFlags, nullptr) != 0) {
    return ErrnoStatus("make the ESP read-only again at ", target);
  }
  return absl::OkStatus();
}

}  // namespace stele::machined
