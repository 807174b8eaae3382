#include "osctl/output/line_prefix.h"

#include "absl/strings/str_cat.h"

namespace stele::osctl {
namespace {

constexpr size_t kLongest = 64 << 10;

}  // namespace

std::string LinePrefix::Take(absl::string_view data) {
  if (prefix_.empty()) return std::string(data);
  std::string out;
  for (size_t end; (end = data.find('\n')) != absl::string_view::npos; data.remove_prefix(end + 1)) {
    absl::StrAppend(&out, prefix_, waiting_, data.substr(0, end + 1));
    waiting_.clear();
  }
  absl::StrAppend(&waiting_, data);
  if (waiting_.size() > kLongest) out += Rest();
  return out;
}

std::string LinePrefix::Rest() {
  if (waiting_.empty()) return "";
  return absl::StrCat(prefix_, std::exchange(waiting_, ""), "\n");
}

}  // namespace stele::osctl
