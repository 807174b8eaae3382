// The `mounts` resources, from /proc/self/mountinfo.
#include <sys/statvfs.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/file.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxMountinfo = 8 << 20;

// mountinfo writes space, tab, newline and backslash as \ooo.
std::string Unescape(absl::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

// Asking a server that went away would hang for as long as it stays away.
bool IsRemote(absl::string_view fstype) {
  for (absl::string_view remote : {"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs", "afs"}) {
    if (fstype == remote) return true;
  }
  return fstype.substr(0, 4) == "fuse";
}

}  // namespace

absl::StatusOr<Provided> ReadMounts() {
  ASSIGN_OR_RETURN(std::string table, ReadFile("/proc/self/mountinfo", kMaxMountinfo));
  Provided mounts;
  for (absl::string_view line : absl::StrSplit(table, '\n', absl::SkipEmpty())) {
    // id parent major:minor root target options [optional…] - type source super-options
    std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 6 || fields.end() - dash < 4) continue;
    auto mount = std::make_unique<resource::v1::Mount>();
    mount->set_target(Unescape(fields[4]));
    mount->set_fstype(std::string(dash[1]));
    mount->set_source(Unescape(dash[2]));
    mount->set_options(absl::StrCat(fields[5], ",", dash[3]));
    struct statvfs size;
    if (!IsRemote(dash[1]) && ::statvfs(mount->target().c_str(), &size) == 0) {
      mount->set_size_bytes(size.f_blocks * size.f_frsize);
      mount->set_available_bytes(size.f_bavail * size.f_frsize);
    }
    mounts.emplace(std::string(fields[0]), std::move(mount));
  }
  return mounts;
}

}  // namespace stele::machined
