#include "machined/install/efi_variables.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

constexpr long kEfivarfsMagic = 0xde5e81e4;
constexpr size_t kMaxVariable = 64 << 10;
constexpr unsigned long kMountFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

absl::Status WriteError(int error, const std::string& doing) {
  switch (error) {
    case EROFS:
    case EACCES:
    case EPERM:
      return absl::FailedPreconditionError(absl::StrCat(doing, ": the firmware's variables are read-only"));
    case ENOSPC:
      return absl::ResourceExhaustedError(absl::StrCat(doing, ": the firmware's store of variables is full"));
    default:
      return StatusFromErrno(error, doing);
  }
}

bool IsEfivarfs(const std::string& root) {
  struct statfs info;
  return ::statfs(root.c_str(), &info) == 0 &&
         static_cast<uint32_t>(info.f_type) == static_cast<uint32_t>(kEfivarfsMagic);
}

// Writable for as long as it lives, where efivarfs was mounted read-only: a stray write can brick a machine.
class WritableStore {
 public:
  explicit WritableStore(const std::string& root) : root_(root) {
    struct statfs info;
    if (!IsEfivarfs(root) || ::statfs(root.c_str(), &info) != 0 || (info.f_flags & ST_RDONLY) == 0) return;
    // What goes wrong here is told by the write that follows: EROFS.
    changed_ = ::mount(nullptr, root_.c_str(), nullptr, MS_REMOUNT | kMountFlags, nullptr) == 0;
  }
  ~WritableStore() {
    if (changed_) ::mount(nullptr, root_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY | kMountFlags, nullptr);
  }
  WritableStore(const WritableStore&) = delete;
  WritableStore& operator=(const WritableStore&) = delete;

 private:
  const std::string& root_;
  bool changed_ = false;
};

// The kernel marks most variables immutable, so that `rm -r /sys` is no accident. Other file systems know no such flag.
void ClearImmutable(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (!fd.ok() || ::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_IMMUTABLE_FL) == 0) return;
  flags &= ~FS_IMMUTABLE_FL;
  // Not being able to is told by the write that follows: EPERM.
  static_cast<void>(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
}

}  // namespace

absl::Status EfiVariables::Prepare() const {
  struct stat info;
  if (::stat(root_.c_str(), &info) != 0) return absl::UnimplementedError("this machine has no EFI variables");
  if (!absl::StartsWith(root_, "/sys/") || IsEfivarfs(root_)) return absl::OkStatus();
  return MountFilesystem("efivarfs", root_, "efivarfs", "ro,nosuid,nodev,noexec");
}

absl::StatusOr<EfiVariable> EfiVariables::Read(const std::string& name) const {
  absl::StatusOr<std::string> bytes = ReadFile(absl::StrCat(root_, "/", name), kMaxVariable);
  RETURN_IF_ERROR(bytes.status());
  EfiVariable variable;
  if (bytes->size() < sizeof variable.attributes)
    return absl::DataLossError(absl::StrCat(name, ": shorter than its attributes"));
  std::memcpy(&variable.attributes, bytes->data(), sizeof variable.attributes);
  variable.data = bytes->substr(sizeof variable.attributes);
  return variable;
}

absl::StatusOr<std::vector<std::string>> EfiVariables::List(absl::string_view prefix) const {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(root_.c_str()), ::closedir);
  if (directory == nullptr) return ErrnoStatus("list ", root_);
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.' && absl::StartsWith(entry->d_name, prefix)) names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status EfiVariables::Write(const std::string& name, const EfiVariable& variable) const {
  absl::StatusOr<EfiVariable> before = Read(name);
  // Each write wears the firmware's flash.
  if (before.ok() && before->attributes == variable.attributes && before->data == variable.data)
    return absl::OkStatus();
  std::string path = absl::StrCat(root_, "/", name), doing = absl::StrCat("write the EFI variable ", name);
  WritableStore writable(root_);
  ClearImmutable(path);
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.ok()) return WriteError(errno, doing);
  std::string bytes(reinterpret_cast<const char*>(&variable.attributes), sizeof variable.attributes);
  bytes += variable.data;
  ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());  // one call is one SetVariable
  int error = written < 0 ? errno : EIO;
  if (written == static_cast<ssize_t>(bytes.size())) {
    // efivarfs replaces the whole; elsewhere what was longer before has a tail.
    if (!IsEfivarfs(root_) && ::ftruncate(fd.get(), written) != 0) return ErrnoStatus(doing);
    return absl::OkStatus();
  }
  // A variable that was only opened exists as an empty file until the next boot.
  if (!before.ok()) ::unlink(path.c_str());
  return WriteError(error, doing);
}

absl::Status EfiVariables::Remove(const std::string& name) const {
  std::string path = absl::StrCat(root_, "/", name);
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return absl::OkStatus();
  WritableStore writable(root_);
  ClearImmutable(path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return WriteError(errno, absl::StrCat("remove the EFI variable ", name));
  return absl::OkStatus();
}

}  // namespace stele::machined
