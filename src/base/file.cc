#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace stele {
namespace {

std::string DirectoryOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string HiddenName(const std::string& path) {
  size_t name = path.rfind('/') + 1;  // 0 without a slash
  return absl::StrCat(path.substr(0, name), ".", path.substr(name), ".new");
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  std::string data;
  char buffer[16 * 1024];
  while (true) {
    ssize_t got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("read ", path);
    }
    if (got == 0) return data;
    if (data.size() + got > limit) {
      return absl::ResourceExhaustedError(absl::StrCat("read ", path, ": larger than ", limit, " bytes"));
    }
    data.append(buffer, got);
  }
}

absl::Status WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    ssize_t put = ::write(fd, data.data(), data.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return ErrnoStatus("write ", data.size(), " bytes");
    }
    data.remove_prefix(put);
  }
  return absl::OkStatus();
}

absl::Status WriteControlFile(const std::string& path, absl::string_view value) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  if (::write(fd.get(), value.data(), value.size()) < 0) return ErrnoStatus("write '", value, "' to ", path);
  return absl::OkStatus();
}

absl::Status ReplaceFile(const std::string& path, absl::string_view data, mode_t mode, uid_t uid, gid_t gid) {
  // Hidden: who watches the directory, such as the kubelet its static pods, looks at names without a dot only.
  std::string temporary = HiddenName(path);
  ::unlink(temporary.c_str());  // what a power cut left
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return ErrnoStatus("create ", temporary);
  RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), data), absl::StrCat("write ", temporary)));
  if ((uid != 0 || gid != 0) && ::fchown(fd.get(), uid, gid) != 0) return ErrnoStatus("change owner of ", temporary);
  if (::fchmod(fd.get(), mode) != 0) return ErrnoStatus("change mode of ", temporary);
  if (::fsync(fd.get()) != 0) return ErrnoStatus("fsync ", temporary);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return ErrnoStatus("rename ", temporary, " to ", path);
  UniqueFd directory(::open(DirectoryOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.ok()) return ErrnoStatus("open the directory of ", path);
  if (::fsync(directory.get()) != 0) return ErrnoStatus("fsync the directory of ", path);
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    std::string part = path.substr(0, slash);
    if (::mkdir(part.c_str(), mode) != 0 && errno != EEXIST) {
      int error = errno;  // a read-only parent answers EROFS even where the directory exists
      struct stat info;
      if (::stat(part.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
        return StatusFromErrno(error, absl::StrCat("make directory ", part));
      }
    }
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace stele
