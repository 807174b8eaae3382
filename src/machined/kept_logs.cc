#include "machined/kept_logs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "base/file.h"
#include "machined/log.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kInterval = absl::Seconds(10);
constexpr size_t kMaxEntries = 4096;  // of a folder

// "default_hello_UID/main/0.log" below either folder.
struct Place {
  std::string pod, container, file;
  std::string path() const { return absl::StrCat(pod, "/", container, "/", file); }
};

UniqueFd OpenFolder(int at, const std::string& name) {
  return UniqueFd(::openat(at, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

std::vector<std::string> NamesIn(const UniqueFd& folder) {
  std::vector<std::string> names;
  int copy = ::fcntl(folder.get(), F_DUPFD_CLOEXEC, 3);
  DIR* entries = copy < 0 ? nullptr : ::fdopendir(copy);
  if (entries == nullptr) {
    if (copy >= 0) ::close(copy);
    return names;
  }
  ::rewinddir(entries);
  while (dirent* entry = ::readdir(entries)) {
    if (names.size() == kMaxEntries) break;
    if (entry->d_name[0] != '.') names.push_back(entry->d_name);
  }
  ::closedir(entries);
  std::sort(names.begin(), names.end());
  return names;
}

// "0.log": the newest file of a run. What was rotated away has a date behind that.
bool RunOf(absl::string_view file, uint32_t& run) {
  return absl::ConsumeSuffix(&file, ".log") && absl::SimpleAtoi(file, &run);
}

// Calls `visit` with each log below `root`, its folder opened.
template <typename Visit>
void EachLog(const std::string& root, const Visit& visit) {
  UniqueFd top = OpenFolder(AT_FDCWD, root);
  if (!top.ok()) return;
  for (const std::string& pod : NamesIn(top)) {
    UniqueFd pod_folder = OpenFolder(top.get(), pod);
    if (!pod_folder.ok()) continue;
    for (const std::string& container : NamesIn(pod_folder)) {
      UniqueFd folder = OpenFolder(pod_folder.get(), container);
      if (!folder.ok()) continue;
      for (const std::string& file : NamesIn(folder)) {
        uint32_t run;
        struct stat stat;
        if (!RunOf(file, run) || ::fstatat(folder.get(), file.c_str(), &stat, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISREG(stat.st_mode)) visit(Place{pod, container, file}, folder, stat);
      }
    }
  }
}

absl::Status Link(const UniqueFd& folder, const Place& place, const struct stat& stat, const std::string& kept) {
  std::string target_folder = absl::StrCat(kept, "/", place.pod, "/", place.container);
  std::string target = absl::StrCat(target_folder, "/", place.file);
  struct stat ours;
  bool exists = ::lstat(target.c_str(), &ours) == 0;
  if (exists && ours.st_ino == stat.st_ino) return absl::OkStatus();
  RETURN_IF_ERROR(MakeDirectories(target_folder, 0755));
  // A rotated log's new file takes the place of the old one, whose end the kubelet keeps itself.
  std::string temporary = absl::StrCat(target_folder, "/.new");
  ::unlink(temporary.c_str());
  if (::linkat(folder.get(), place.file.c_str(), AT_FDCWD, temporary.c_str(), 0) != 0) {
    if (errno == ENOENT) return absl::OkStatus();  // gone while we looked
    return ErrnoStatus("link ", target);
  }
  if (::rename(temporary.c_str(), target.c_str()) != 0) return ErrnoStatus("rename ", temporary);
  return absl::OkStatus();
}

// With the folders that it leaves empty.
void LetGo(const KeptLogFile& file) {
  ::unlink(file.path.c_str());
  std::string folder = file.path.substr(0, file.path.rfind('/'));
  if (::rmdir(folder.c_str()) == 0) ::rmdir(folder.substr(0, folder.rfind('/')).c_str());
}

}  // namespace

std::vector<KeptLogFile> ListKeptLogs(const KeptLogPaths& paths) {
  std::vector<KeptLogFile> all;
  EachLog(paths.kept, [&](const Place& place, const UniqueFd&, const struct stat& stat) {
    // Kubernetes' names hold no underscore.
    std::vector<std::string> words = absl::StrSplit(place.pod, '_');
    if (words.size() != 3) return;
    KeptLogFile file = {words[0], words[1], words[2], place.container};
    RunOf(place.file, file.run);
    file.path = absl::StrCat(paths.kept, "/", place.path());
    struct stat theirs;
    file.gone = ::lstat(absl::StrCat(paths.pods, "/", place.path()).c_str(), &theirs) != 0;
    file.bytes = stat.st_size;
    file.written = absl::TimeFromTimespec(stat.st_mtim);
    all.push_back(std::move(file));
  });
  return all;
}

absl::Status KeepLogs(const KeptLogPaths& paths, const KeptLogBounds& bounds, absl::Time now) {
  absl::Status status;
  EachLog(paths.pods, [&](const Place& place, const UniqueFd& folder, const struct stat& stat) {
    status.Update(Link(folder, place, stat, paths.kept));
  });
  std::vector<KeptLogFile> gone = ListKeptLogs(paths);
  gone.erase(std::remove_if(gone.begin(), gone.end(), [](const KeptLogFile& file) { return !file.gone; }), gone.end());
  std::sort(gone.begin(), gone.end(), [](const auto& a, const auto& b) { return a.written > b.written; });
  uint64_t bytes = 0;
  size_t files = 0;
  for (const KeptLogFile& file : gone) {
    bytes += file.bytes;
    ++files;
    if (bytes > bounds.bytes || files > bounds.files || now - file.written > bounds.age) LetGo(file);
  }
  return status;
}

absl::StatusOr<KeptLogFile> FindKeptLog(const KeptLogPaths& paths, absl::string_view wanted) {
  absl::optional<KeptLogFile> best;
  for (KeptLogFile& file : ListKeptLogs(paths)) {
    std::string pod = absl::StrCat(file.name_space, "/", file.pod);
    if (wanted != pod && wanted != absl::StrCat(pod, "/", file.container)) continue;
    if (best.has_value() && best->container != file.container) {
      return absl::InvalidArgumentError(absl::StrCat(wanted, " is ambiguous: its logs are those of ", best->container,
                                                     " and ", file.container, " among others"));
    }
    bool newer =
        !best.has_value() || file.written > best->written || (file.written == best->written && file.run > best->run);
    if (newer) best = std::move(file);
  }
  if (!best.has_value()) {
    return absl::NotFoundError(
        absl::StrCat("no container ", wanted,
                     ", and no log is kept of one: `osctl get containers` and `osctl get keptlogs` "
                     "list what there is"));
  }
  return *std::move(best);
}

absl::Status KeptLogsController::Reconcile() {
  if (!node_->data_ready()) return absl::OkStatus();
  if (looking_) {
    again_ = true;
    return absl::OkStatus();
  }
  looking_ = true;
  auto status = std::make_shared<absl::Status>();
  node_->loop().RunBlocking([status] { *status = KeepLogs({}, {}, absl::Now()); },
                            [this, status, alive = alive_] {
                              if (!*alive) return;
                              looking_ = false;
                              std::string error(status->message());
                              if (error != error_ && !error.empty()) Log("warning: keep containers' logs: ", error);
                              error_ = error;
                              if (std::exchange(again_, false)) return Wake();
                              LookAgain();
                            });
  return absl::OkStatus();
}

void KeptLogsController::LookAgain() {
  if (timer_ != 0) return;
  timer_ = node_->loop().After(kInterval, [this, alive = alive_] {
    if (!*alive) return;
    timer_ = 0;
    Wake();
  });
}

}  // namespace stele::machined
