// Waiting for a node that goes away and comes back.
#pragma once

#include <functional>
#include <string>

#include "absl/time/time.h"
#include "osctl/client/node.h"

namespace stele::osctl {

// Asks again and again, each time for a short while, until `done` answers true or fails. It gets what the
// node answered to Version, and may call the node itself; UNAVAILABLE and DEADLINE_EXCEEDED from it are
// taken for a node that is away. After `patience` DEADLINE_EXCEEDED, exit code 3, with `waiting_for` and
// what was met last.
absl::Status AwaitNode(Node& node, absl::Duration patience, absl::string_view waiting_for,
                       const std::function<absl::StatusOr<bool>(const stele::machine::v1::VersionResponse&)>& done);

// Until the node answers with another boot id.
absl::Status AwaitNextBoot(Node& node, const std::string& old_boot, absl::Duration patience);

}  // namespace stele::osctl
