// From a path to an open file, by the table of files and without ever following a link.
//
// A path is taken apart once; each of its names is then opened below the directory before it, by openat2 with
// RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, as O_PATH, which opens nothing yet and so waits for
// no FIFO and wakes no device. What is decided is decided about that descriptor: a name that is swapped meanwhile
// changes nothing. Mounts are entered only where a row of the table names the very place. Any thread; calls may block
// on a disk.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/files/file_rules.h"

namespace stele::machined {

enum class Crossing : unsigned char { kRefuse, kAllow };  // of mounts

// openat2 of one name, as strict as said above, with errno where it fails. Borrows `folder`.
UniqueFd OpenBelow(int folder, const std::string& name, uint64_t flags, Crossing crossing);

// The regular file or directory behind an O_PATH descriptor, to read. The very same one, whatever its name is by now.
absl::StatusOr<UniqueFd> OpenToRead(int file);

// The target of the link behind an O_PATH descriptor.
absl::StatusOr<std::string> ReadLink(int link);

struct FoundFile {
  std::string path;  // one slash between names, none at the end
  UniqueFd fd;       // O_PATH
  UniqueFd folder;   // the directory that holds it, O_PATH; of "/" none
  struct stat info = {};
  FilePlace place;
  FileModes modes;

  Need need() const { return NeedOf(place, modes); }
};

class FileTree {
 public:
  // The tree below the directory `top`; `rules` outlives it.
  static absl::StatusOr<FileTree> Open(const std::string& top, absl::Span<const FileRule> rules);

  // The file at `path`, for a caller of `role`, who may search the directories on the way. A last name that is a link
  // is the link itself. INVALID_ARGUMENT: no path. FAILED_PRECONDITION: a link or a mount on the way.
  // PERMISSION_DENIED.
  absl::StatusOr<FoundFile> Find(const std::string& path, Need role) const;

 private:
  FileTree(UniqueFd top, absl::Span<const FileRule> rules) : top_(std::move(top)), rules_(rules) {}

  UniqueFd top_;
  absl::Span<const FileRule> rules_;
};

// The names in `path`. INVALID_ARGUMENT says what is wrong with it.
absl::StatusOr<std::vector<std::string>> SplitPath(const std::string& path);

// Whether `role` may have `found`, with words why not: PERMISSION_DENIED.
absl::Status CheckAccess(const FoundFile& found, Need role);

}  // namespace stele::machined
