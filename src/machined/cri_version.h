// Asks containerd for its version over CRI: the one call that shows that it serves pods.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

// Blocks at most `timeout`: worker threads only.
absl::StatusOr<std::string> CriVersion(const std::string& socket, absl::Duration timeout);

}  // namespace stele::machined
