// Why a connection does not come about. gRPC 1.51 tells refused, time-out and each kind of TLS
// failure in much the same words, so after a failure we try it again by hand: TCP, then TLS 1.3 with
// the same keys, then a look at what the node says to our certificate. Only on the error path.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "base/status.h"
#include "osctl/client/address.h"
#include "osctl/client/keys.h"

namespace stele::osctl {

// OK when a connection can be made now. Otherwise the exact reason, with exit code and next step:
// UNAVAILABLE (refused), DEADLINE_EXCEEDED (silence), UNAUTHENTICATED (TLS), FAILED_PRECONDITION (our
// own keys are broken).
absl::Status Diagnose(const std::vector<SocketAddress>& addresses, const ClientKeys& keys, absl::Duration timeout);

}  // namespace stele::osctl
