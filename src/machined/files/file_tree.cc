#include "machined/files/file_tree.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

absl::Status Denied(const std::string& path, const FilePlace& place, Need need, Need role) {
  if (place.file_class() == FileClass::kNone) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " is nothing that the API shows; `osctl ls /` tells where to look, and docs/files.md why"));
  }
  if (need == Need::kNobody) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " is not shown to any role: it may hold keys, tokens or the node's state"));
  }
  return absl::PermissionDeniedError(
      absl::StrCat(path, " takes the role ", NeedName(need), ", and the caller's is ", NeedName(role)));
}

// Why a step failed, from errno.
absl::Status StepFailed(const std::string& path) {
  if (errno == EXDEV) {
    return absl::FailedPreconditionError(absl::StrCat(path, " is a mount that the table of files does not name"));
  }
  if (errno == ENOTDIR)
    return absl::FailedPreconditionError(absl::StrCat(path, ": what should hold it is no directory"));
  return ErrnoStatus(path);
}

absl::Status IsLink(int link, const std::string& path) {
  absl::StatusOr<std::string> target = ReadLink(link);
  return absl::FailedPreconditionError(
      absl::StrCat(path, " is a link, and links are not followed: name the path that it leads to",
                   target.ok() ? absl::StrCat(", ", *target) : ""));
}

}  // namespace

UniqueFd OpenBelow(int folder, const std::string& name, uint64_t flags, Crossing crossing) {
  open_how how = {};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  if (crossing == Crossing::kRefuse) how.resolve |= RESOLVE_NO_XDEV;
  int fd;
  do {
    fd = static_cast<int>(::syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how));
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> OpenToRead(int file) {
  // The kernel's own link from our descriptor to its file: there is no name in it that somebody could swap.
  std::string self = absl::StrCat("/proc/self/fd/", file);
  UniqueFd fd(::open(self.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open to read");
  return fd;
}

absl::StatusOr<std::string> ReadLink(int link) {
  char target[PATH_MAX];
  ssize_t size = ::readlinkat(link, "", target, sizeof target);
  if (size < 0) return ErrnoStatus("read a link");
  return std::string(target, static_cast<size_t>(size));
}

absl::StatusOr<std::vector<std::string>> SplitPath(const std::string& path) {
  auto wrong = [](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("no path to a file: ", why));
  };
  if (path.empty()) return wrong("it is empty; give one that begins with /");
  if (path.size() >= PATH_MAX) return wrong("it is longer than 4,095 bytes");
  if (path.find('\0') != std::string::npos) return wrong("it holds a NUL");
  if (path[0] != '/') return wrong(absl::StrCat("'", path, "' does not begin with /"));
  std::vector<std::string> names = absl::StrSplit(path, '/', absl::SkipEmpty());
  for (const std::string& name : names) {
    if (name == "." || name == "..")
      return wrong(absl::StrCat("'", path, "' goes by '", name, "'; name the file itself"));
    if (name.size() > NAME_MAX) return wrong("a name in it is longer than 255 bytes");
  }
  return names;
}

absl::Status CheckAccess(const FoundFile& found, Need role) {
  Need need = found.need();
  if (need <= role) return absl::OkStatus();
  absl::Status denied = Denied(found.path, found.place, need, role);
  if (need == Need::kNobody || found.modes.Open()) return denied;
  return absl::PermissionDeniedError(absl::StrCat(denied.message(), ", since its mode keeps it from others"));
}

absl::StatusOr<FileTree> FileTree::Open(const std::string& top, absl::Span<const FileRule> rules) {
  UniqueFd fd(::open(top.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", top);
  return FileTree(std::move(fd), rules);
}

absl::StatusOr<FoundFile> FileTree::Find(const std::string& path, Need role) const {
  ASSIGN_OR_RETURN(std::vector<std::string> names, SplitPath(path));
  FoundFile found = {.place = FilePlace::Top(rules_)};
  found.fd.reset(::fcntl(top_.get(), F_DUPFD_CLOEXEC, 0));
  if (!found.fd.ok() || ::fstat(found.fd.get(), &found.info) != 0) return ErrnoStatus("open /");
  for (const std::string& name : names) {
    if (S_ISLNK(found.info.st_mode)) return IsLink(found.fd.get(), found.path);
    absl::StrAppend(&found.path, "/", name);
    if (S_ISDIR(found.info.st_mode) && (found.info.st_mode & S_IXOTH) == 0) found.modes.reachable = false;
    found.place = found.place.Child(name);
    // Before the name is looked for: whoever may not search learns nothing from an error either.
    if (Need need = NeedToSearch(found.place, found.modes.reachable); need > role) {
      return Denied(found.path, found.place, need, role);
    }
    Crossing crossing = found.place.named() ? Crossing::kAllow : Crossing::kRefuse;
    UniqueFd next = OpenBelow(found.fd.get(), name, O_PATH, crossing);
    if (!next.ok()) return StepFailed(found.path);
    found.folder = std::move(found.fd);
    found.fd = std::move(next);
    if (::fstat(found.fd.get(), &found.info) != 0) return ErrnoStatus("look at ", found.path);
  }
  if (names.empty()) found.path.push_back('/');
  found.modes.mode = found.info.st_mode;
  return found;
}

}  // namespace stele::machined
