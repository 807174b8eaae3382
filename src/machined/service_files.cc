#include "machined/service_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include <memory>
#include <set>

#include "base/file.h"

namespace stele::machined {
namespace {

using services::ServiceDirectory;
using services::ServiceFile;

constexpr mode_t kModeBits = 07777;

absl::Status MakeDirectory(const ServiceDirectory& directory, const std::string& root) {
  std::string path = root + directory.path;
  RETURN_IF_ERROR(MakeDirectories(path, directory.mode));
  struct stat now;
  if (::stat(path.c_str(), &now) != 0) return ErrnoStatus("look at ", path);
  // Its mode as told, whatever the umask or an earlier version made of it.
  if ((now.st_uid != directory.uid || now.st_gid != directory.gid) &&
      ::chown(path.c_str(), directory.uid, directory.gid) != 0) {
    return ErrnoStatus("give ", path, " to user ", directory.uid);
  }
  if ((now.st_mode & kModeBits) != directory.mode && ::chmod(path.c_str(), directory.mode) != 0) {
    return ErrnoStatus("set the mode of ", path);
  }
  return absl::OkStatus();
}

bool IsAsWanted(const ServiceFile& file, const std::string& path) {
  struct stat now;
  if (::lstat(path.c_str(), &now) != 0 || !S_ISREG(now.st_mode)) return false;
  if (now.st_uid != file.uid || now.st_gid != file.gid || (now.st_mode & kModeBits) != file.mode) return false;
  if (static_cast<size_t>(now.st_size) != file.content->size()) return false;
  absl::StatusOr<std::string> content = ReadFile(path, file.content->size());
  return content.ok() && *content == *file.content;
}

absl::Status WriteOne(const ServiceFile& file, const std::string& root) {
  std::string path = root + file.path;
  if (!file.content.has_value()) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus("remove ", path);
    return absl::OkStatus();
  }
  if (IsAsWanted(file, path)) return absl::OkStatus();
  return ReplaceFile(path, *file.content, file.mode, file.uid, file.gid);
}

absl::Status RemoveUnlisted(const ServiceDirectory& directory, const std::set<std::string>& listed,
                            const std::string& root) {
  std::string path = root + directory.path;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(path.c_str()), ::closedir);
  if (entries == nullptr) return ErrnoStatus("open ", path);
  while (dirent* entry = ::readdir(entries.get())) {
    std::string name = entry->d_name;
    if (name == "." || name == ".." || listed.count(absl::StrCat(directory.path, "/", name)) > 0) continue;
    std::string file = absl::StrCat(path, "/", name);
    if (::unlink(file.c_str()) != 0 && errno != EISDIR && errno != EPERM && errno != ENOENT)
      return ErrnoStatus("remove ", file);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteServiceFiles(const services::ServiceSet& set, const std::string& root) {
  absl::Status first;
  for (const ServiceDirectory& directory : set.directories) first.Update(MakeDirectory(directory, root));
  std::set<std::string> listed;
  for (const ServiceFile& file : set.files) {
    listed.insert(file.path);
    first.Update(WriteOne(file, root));
  }
  for (const ServiceDirectory& directory : set.directories) {
    if (directory.only_listed_files) first.Update(RemoveUnlisted(directory, listed, root));
  }
  return first;
}

}  // namespace stele::machined
