// The `sysctls` resources, from /proc/sys.
#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxValue = 1024;
constexpr int kMaxDepth = 12;
constexpr size_t kMaxSysctls = 50'000;  // every interface brings about 80

// What a reader may not know: keys. (The kernel names none of the others so.)
bool IsSecret(absl::string_view name) { return name == "stable_secret" || absl::StrContains(name, "fastopen_key"); }

void Walk(const std::string& folder, const std::string& dotted, int depth, Provided& all) {
  for (const std::string& name : NamesIn(folder)) {
    std::string path = absl::StrCat(folder, "/", name);
    struct stat status;
    if (all.size() >= kMaxSysctls || ::lstat(path.c_str(), &status) != 0 || IsSecret(name)) continue;
    // sysctl(8): a dot in a name, as an interface may have one, is written as a slash.
    std::string id = absl::StrCat(dotted, dotted.empty() ? "" : ".", absl::StrReplaceAll(name, {{".", "/"}}));
    if (S_ISDIR(status.st_mode) && depth < kMaxDepth) Walk(path, id, depth + 1, all);
    if (!S_ISREG(status.st_mode) || (status.st_mode & S_IRUSR) == 0) continue;
    auto* sysctl = Provide<resource::v1::Sysctl>(all, id);
    if (sysctl != nullptr) sysctl->set_value(absl::StrReplaceAll(TextOf(path, kMaxValue), {{"\n", "; "}, {"\t", " "}}));
  }
}

}  // namespace

absl::StatusOr<Provided> ReadSysctls() {
  Provided all;
  Walk("/proc/sys", "", 0, all);
  return all;
}

}  // namespace stele::machined
