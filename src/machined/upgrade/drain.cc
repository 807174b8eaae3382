#include "machined/upgrade/drain.h"

#include <vector>

#include "absl/strings/str_join.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

constexpr size_t kNamed = 5;

}  // namespace

DrainCheck PodsHaveLeft(Node& node) {
  // Until containerd has said what there is, nothing is known of pods: a node that runs has at least the pause image.
  if (node.store().All<resource::v1::Image>().empty()) return {false, "containerd to say which pods run"};
  std::vector<std::string> left;
  for (const auto& [name, pod] : node.store().All<resource::v1::Pod>()) {
    if (!pod.from_file() && pod.state() != "NotReady") left.push_back(name);
  }
  if (left.empty()) return {};
  size_t more = left.size() > kNamed ? left.size() - kNamed : 0;
  left.resize(left.size() - more);
  return {false, absl::StrCat("pods ", absl::StrJoin(left, ", "), more > 0 ? absl::StrCat(" and ", more, " more") : "",
                              " to leave")};
}

}  // namespace stele::machined
