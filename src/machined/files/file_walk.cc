#include "machined/files/file_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <google/protobuf/stubs/common.h>

#include <memory>

namespace stele::machined {
namespace {

using machine::v1::OmissionReason;

class Walker {
 public:
  Walker(const WalkLimits& limits, WalkVisitor& visitor, Omissions& omissions)
      : limits_(limits), visitor_(visitor), omissions_(omissions) {}

  // Visits what `folder`, open to read, holds.
  absl::Status Folder(UniqueFd folder, const std::string& path, const FilePlace& place, bool reachable,
                      uint32_t depth) {
    int fd = folder.get();
    std::unique_ptr<DIR, int (*)(DIR*)> directory(::fdopendir(fd), ::closedir);
    if (directory == nullptr) {
      omissions_.Add(machine::v1::OMISSION_REASON_ERROR, path);
      return absl::OkStatus();
    }
    static_cast<void>(folder.release());
    for (;;) {
      errno = 0;
      dirent* found = ::readdir(directory.get());
      if (found == nullptr) break;
      std::string name = found->d_name;
      if (name == "." || name == "..") continue;
      if (entries_++ == limits_.entries) {
        omissions_.Add(machine::v1::OMISSION_REASON_ENTRIES, Below(path, name));
        ended_ = true;
        return absl::OkStatus();
      }
      RETURN_IF_ERROR(Entry(fd, name, Below(path, name), place.Child(name), reachable, depth));
      if (ended_) return absl::OkStatus();
    }
    if (errno != 0) omissions_.Add(ReasonOf(errno), path);
    return absl::OkStatus();
  }

 private:
  absl::Status Entry(int folder, const std::string& name, const std::string& path, const FilePlace& place,
                     bool reachable, uint32_t depth) {
    struct stat info;
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
      omissions_.Add(ReasonOf(errno), path);
      return absl::OkStatus();
    }
    auto visit = [&](bool entered) {
      return visitor_.Visit(
          {path, folder, name, info, place, depth, NeedOf(place, {reachable, info.st_mode}), entered});
    };
    if (!S_ISDIR(info.st_mode)) return visit(false).status();
    if (depth >= limits_.depth) {
      if (limits_.depth == kMaxWalkDepth) omissions_.Add(machine::v1::OMISSION_REASON_DEPTH, path);
      return visit(false).status();
    }
    Crossing crossing = place.named() ? limits_.crossing : Crossing::kRefuse;
    UniqueFd inner = OpenBelow(folder, name, O_RDONLY | O_DIRECTORY | O_NONBLOCK, crossing);
    // From here on it is told as what was opened.
    int error = inner.ok() && ::fstat(inner.get(), &info) == 0 ? 0 : errno;
    if (error == EXDEV) {
      omissions_.Add(machine::v1::OMISSION_REASON_MOUNT, path);
      return visit(false).status();
    }
    if (error != 0) {
      omissions_.Add(ReasonOf(error), path);
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(Descend descend, visit(true));
    if (descend == Descend::kNo) return absl::OkStatus();
    RETURN_IF_ERROR(Folder(std::move(inner), path, place, reachable && (info.st_mode & S_IXOTH) != 0, depth + 1));
    return visitor_.Leave(path);
  }

  static std::string Below(const std::string& path, const std::string& name) {
    return absl::StrCat(path == "/" ? "" : path, "/", name);
  }

  // What was there a moment ago and is gone or something else is no failure.
  static OmissionReason ReasonOf(int error) {
    bool changed = error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESRCH;
    return changed ? machine::v1::OMISSION_REASON_CHANGED : machine::v1::OMISSION_REASON_ERROR;
  }

  const WalkLimits limits_;
  WalkVisitor& visitor_;
  Omissions& omissions_;
  uint64_t entries_ = 0;
  bool ended_ = false;  // by the number of entries
};

}  // namespace

std::string ShownPath(absl::string_view path) {
  std::string shown;
  while (!path.empty()) {
    int valid = google::protobuf::internal::UTF8SpnStructurallyValid({path.data(), path.size()});
    shown.append(path.data(), static_cast<size_t>(valid));
    path.remove_prefix(static_cast<size_t>(valid));
    if (path.empty()) break;
    shown.append("\xef\xbf\xbd");
    path.remove_prefix(1);
  }
  return shown;
}

void Omissions::Add(OmissionReason reason, const std::string& path) {
  machine::v1::Omission& omission = by_reason_[reason];
  if (omission.count() == 0) {
    omission.set_reason(reason);
    omission.set_first_path(ShownPath(path));
  }
  omission.set_count(omission.count() + 1);
}

absl::Status Walk(const FoundFile& root, const WalkLimits& limits, WalkVisitor& visitor, Omissions& omissions) {
  ASSIGN_OR_RETURN(UniqueFd folder, OpenToRead(root.fd.get()));
  bool reachable = root.modes.reachable && (root.info.st_mode & S_IXOTH) != 0;
  return Walker(limits, visitor, omissions).Folder(std::move(folder), root.path, root.place, reachable, 1);
}

}  // namespace stele::machined
