// Streams that outlive the daemons: when a connection breaks, begin again where it broke.
#pragma once

#include <functional>

#include "absl/time/time.h"
#include "osctl/client/node.h"
#include "osctl/console.h"

namespace stele::osctl {

// How long a follower keeps trying when --timeout does not say otherwise.
inline constexpr absl::Duration kFollowPatience = absl::Seconds(60);

// One attempt opens the stream, from where the last one ended, and calls `alive` for what arrives.
using FollowAttempt = std::function<absl::Status(const std::function<void()>& alive)>;

// Makes attempts until one ends well, or fails otherwise than by a lost connection, or nothing came
// for `patience`. The first one's failure is final: who never got through is not lost. Between
// attempts it waits 0.1 s, doubling to 0.5 s. After 2 s without the node it says so on stderr, once,
// and again when the node is back.
absl::Status Follow(Node& node, Console& console, absl::Duration patience, const FollowAttempt& attempt);

}  // namespace stele::osctl
