#include "osctl/client/await_boot.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

constexpr absl::Duration kProbeTimeout = absl::Seconds(3);
constexpr absl::Duration kProbePause = absl::Milliseconds(250);
constexpr int kRefusals = 4;  // in a row

bool IsAway(const absl::Status& status) { return IsConnectionLoss(status) || absl::IsDeadlineExceeded(status); }

}  // namespace

absl::Status AwaitNode(Node& node, absl::Duration patience, absl::string_view waiting_for,
                       const std::function<absl::StatusOr<bool>(const stele::machine::v1::VersionResponse&)>& done) {
  absl::Time deadline = absl::Now() + patience;
  node.set_timeout(kProbeTimeout);
  absl::Status last;
  int refusals = 0;
  while (absl::Now() < deadline) {
    if (node.expired()) return node.Expired();
    auto version = node.Call(method::kVersion, {});
    last = version.status();
    if (version.ok()) {
      absl::StatusOr<bool> answer = done(*version);
      if (answer.ok() && *answer) return absl::OkStatus();
      if (!answer.ok() && !IsAway(answer.status())) return answer.status();
      last = answer.status();
    }
    // A node that comes back with other keys will not get better by waiting; a daemon killed just after a
    // handshake only looks like one.
    refusals = ExitCodeOf(last) == ExitCode::kAuthentication ? refusals + 1 : 0;
    if (refusals >= kRefusals) return last;
    absl::SleepFor(std::max(absl::ZeroDuration(), std::min(kProbePause, deadline - absl::Now())));
  }
  return Failure(absl::StatusCode::kDeadlineExceeded, ExitCode::kUnreachable,
                 absl::StrCat("not ", waiting_for, " within ", HumanDuration(patience),
                              last.ok() ? "" : absl::StrCat(": ", last.message())),
                 "look at the node's console");
}

absl::Status AwaitNextBoot(Node& node, const std::string& old_boot, absl::Duration patience) {
  return AwaitNode(node, patience, "back", [&](const auto& version) -> absl::StatusOr<bool> {
    if (version.boot_id() == old_boot) return absl::UnavailableError("still the same boot");
    return true;
  });
}

}  // namespace stele::osctl
