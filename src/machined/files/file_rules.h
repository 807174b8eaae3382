// Which files the API shows, and to whom: a table. Pure; any thread.
//
// A row gives the files below a pattern a class; of the rows that match, the last one counts, and a file that no row
// matches is not shown. A class says the least role for looking and for reading, once for what the file's mode lets
// everybody see and once for the rest. So a reader sees what any process of the node could, and a file that its
// owner keeps to himself is not shown because a row was forgotten.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace stele::machined {

// The least role that may do something; kNobody: none may.
enum class Need : uint8_t { kReader = 1, kOperator = 2, kAdmin = 3, kNobody = 4 };
// "reader", "nobody".
const char* NeedName(Need need);
// A caller's role; kNobody's opposite does not exist, so an unknown name answers false.
bool ParseRole(absl::string_view name, Need& role);

enum class FileClass : uint8_t {
  kNone,     // no row matches
  kSystem,   // the system's: what all may read is for readers, the rest for administrators
  kLog,      // logs that LogService gives to readers, whatever their modes
  kData,     // applications': names and sizes for operators, contents for administrators
  kPrivate,  // for administrators
  kSecret,   // for nobody: keys, tokens, the node's state
};

struct FileRule {
  // "/var/log": that and all below. A part may hold wildcards as fnmatch(3) has them, or several names: "/proc/a|b".
  // Without a slash: a name anywhere, and what is below it.
  const char* pattern;
  FileClass file_class;
};

// The node's table.
absl::Span<const FileRule> NodeFileRules();

// What the table says about one path. Child gives the next step's, so that a walk looks at each name once.
class FilePlace {
 public:
  // "/", by a table that outlives it.
  static FilePlace Top(absl::Span<const FileRule> rules);
  FilePlace Child(absl::string_view name) const;

  FileClass file_class() const { return class_; }
  // A row without wildcards names this very path: a file system mounted here may be entered.
  bool named() const { return named_; }
  // Looked at one by one and never walked: /proc and /sys, which are the kernel's and no store of files, and "/"
  // itself.
  bool one_by_one() const { return one_by_one_; }

 private:
  explicit FilePlace(absl::Span<const FileRule> rules) : rules_(rules) {}

  absl::Span<const FileRule> rules_;
  std::vector<uint16_t> open_;  // rows whose parts so far match, and that have more
  size_t depth_ = 0;
  int row_ = -1;  // that counts
  FileClass class_ = FileClass::kNone;
  bool named_ = false;
  bool one_by_one_ = false;
};

// A file's own part in who may see it.
struct FileModes {
  // The directories above can be searched by all.
  bool reachable = true;
  mode_t mode = 0;
  // All may read it, or list it.
  bool Open() const { return reachable && (mode & S_IROTH) != 0 && (!S_ISDIR(mode) || (mode & S_IXOTH) != 0); }
};

// To read a file, to list a directory, and to be told what a link or a device is.
Need NeedOf(const FilePlace& place, const FileModes& modes);
// To find names in a directory, known or not; before its modes are looked at.
Need NeedToSearch(const FilePlace& place, bool reachable);

}  // namespace stele::machined
