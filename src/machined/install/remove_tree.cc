#include "machined/install/remove_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr int kDeepest = 512;  // folders hold a descriptor each while their contents go

class Remover {
 public:
  Remover(dev_t device, const std::vector<std::string>& keep) : device_(device), keep_(keep) {}

  // Everything in the folder; `path` is relative to where it began, for comparing and telling.
  absl::Status Empty(UniqueFd folder, const std::string& path, int depth) {
    if (depth > kDeepest) return absl::ResourceExhaustedError(absl::StrCat(path, ": folders lie too deep"));
    ASSIGN_OR_RETURN(std::vector<std::string> names, Names(folder.get()));
    for (const std::string& name : names) {
      std::string child = path.empty() ? name : absl::StrCat(path, "/", name);
      if (IsKept(child)) continue;
      RETURN_IF_ERROR(Remove(folder.get(), name, child, depth));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Remove(int folder, const std::string& name, const std::string& path, int depth) {
    struct stat info;
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("look at ", path);
    }
    bool is_folder = S_ISDIR(info.st_mode);
    if (info.st_dev != device_) return absl::FailedPreconditionError(absl::StrCat(path, " is another file system"));
    if (is_folder) {
      UniqueFd inner(::openat(folder, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!inner.ok()) return ErrnoStatus("open ", path);
      ClearImmutable(inner.get());
      RETURN_IF_ERROR(Empty(std::move(inner), path, depth + 1));
      if (LeadsToKept(path)) return absl::OkStatus();
    } else if (S_ISREG(info.st_mode)) {
      UniqueFd file(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (file.ok()) ClearImmutable(file.get());
    }
    if (::unlinkat(folder, name.c_str(), is_folder ? AT_REMOVEDIR : 0) != 0 && errno != ENOENT) {
      return ErrnoStatus("delete ", path);
    }
    return absl::OkStatus();
  }

  // chattr +i and +a; what cannot be changed is told by the deletion that fails.
  static void ClearImmutable(int fd) {
    int flags = 0;
    if (::ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0 || (flags & (FS_IMMUTABLE_FL | FS_APPEND_FL)) == 0) return;
    flags &= ~(FS_IMMUTABLE_FL | FS_APPEND_FL);
    static_cast<void>(::ioctl(fd, FS_IOC_SETFLAGS, &flags));
  }

  static absl::StatusOr<std::vector<std::string>> Names(int folder) {
    UniqueFd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again.ok()) return ErrnoStatus("open a folder");
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(again.get()), ::closedir);
    if (directory == nullptr) return ErrnoStatus("read a folder");
    static_cast<void>(again.release());
    std::vector<std::string> names;
    errno = 0;
    while (dirent* entry = ::readdir(directory.get())) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    if (errno != 0) return ErrnoStatus("read a folder");
    return names;
  }

  bool IsKept(const std::string& path) const {
    for (const std::string& kept : keep_) {
      if (path == kept) return true;
    }
    return false;
  }
  bool LeadsToKept(const std::string& path) const {
    for (const std::string& kept : keep_) {
      if (absl::StartsWith(kept, absl::StrCat(path, "/"))) return true;
    }
    return false;
  }

  dev_t device_;
  const std::vector<std::string>& keep_;
};

}  // namespace

absl::Status EmptyTree(const std::string& path, const std::vector<std::string>& keep) {
  UniqueFd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.ok()) return ErrnoStatus("open ", path);
  struct stat info;
  if (::fstat(folder.get(), &info) != 0) return ErrnoStatus("look at ", path);
  return Annotate(Remover(info.st_dev, keep).Empty(std::move(folder), "", 0), path);
}

absl::Status RemoveTree(const std::string& path) {
  absl::Status emptied = EmptyTree(path, {});
  if (emptied.code() == absl::StatusCode::kNotFound) return absl::OkStatus();
  RETURN_IF_ERROR(emptied);
  if (::rmdir(path.c_str()) != 0) return ErrnoStatus("delete ", path);
  return absl::OkStatus();
}

}  // namespace stele::machined
