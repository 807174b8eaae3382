#include "osctl/screen/watched.h"

#include "absl/strings/str_cat.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

// Two readings and a little are missing.
constexpr absl::Duration kSilence = absl::Seconds(5);

}  // namespace

std::string Health::Trouble(absl::Time heard, absl::Time time) const {
  for (const auto& [what, status] : failed_) {
    if (IsRefusal(status)) continue;
    return absl::StrCat("no answer for ", HumanAge(since_, time), ": ", status.message(), "; trying again");
  }
  if (heard != absl::InfinitePast() && time - heard >= kSilence) {
    return absl::StrCat("no answer for ", HumanAge(heard, time), ": the node is silent; waiting");
  }
  for (const auto& [what, status] : failed_) return absl::StrCat("without ", what, ": ", status.message());
  return "";
}

}  // namespace stele::osctl
