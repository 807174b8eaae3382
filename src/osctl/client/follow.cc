#include "osctl/client/follow.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(100);
constexpr absl::Duration kLongestPause = absl::Milliseconds(500);
constexpr absl::Duration kWarnAfter = absl::Seconds(2);
// An attempt that stood this long was no false start, though an idle stream brought nothing.
constexpr absl::Duration kStoodFirm = absl::Seconds(3);

// One time without the node.
struct Outage {
  absl::Time since = absl::InfiniteFuture();
  absl::Duration pause = kFirstPause;
  bool warned = false;
};

}  // namespace

absl::Status Follow(Node& node, Console& console, absl::Duration patience, const FollowAttempt& attempt) {
  Outage outage;
  bool ever = false;
  auto alive = [&] {
    ever = true;
    if (outage.warned) {
      console.Err(absl::StrCat("osctl: ", node.name(), ": connected again after ",
                               HumanDuration(absl::Now() - outage.since), "\n"));
    }
    outage = {};
  };
  while (true) {
    absl::Time began = absl::Now();
    absl::Status status = attempt(alive);
    // A daemon killed just after a handshake looks like one that refuses our certificate; to whom it
    // has served already that is no reason to end.
    bool refused = ExitCodeOf(status) == ExitCode::kAuthentication;
    if (status.ok() || !(IsConnectionLoss(status) || (ever && refused))) return status;
    if (node.expired()) return node.Expired();
    absl::Time now = absl::Now();
    if (node.stream_began() >= began && now - node.stream_began() >= kStoodFirm) {
      ever = true;
      outage = {};
    }
    if (!ever) return status;
    if (outage.since == absl::InfiniteFuture()) outage.since = now;
    if (now - outage.since >= patience) {
      return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable,
                     absl::StrCat("gave up after ", HumanDuration(now - outage.since), ": ", status.message()),
                     NextStepOf(status));
    }
    if (!outage.warned && now - outage.since >= kWarnAfter) {
      outage.warned = true;
      console.Err(absl::StrCat("osctl: ", node.name(), ": connection lost, trying again for ", HumanDuration(patience),
                               ": ", status.message(), "\n"));
    }
    absl::SleepFor(outage.pause);
    outage.pause = std::min(outage.pause * 2, kLongestPause);
  }
}

}  // namespace stele::osctl
