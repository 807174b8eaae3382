// One readiness check. Blocks at most `timeout`: worker threads only.
#pragma once

#include "absl/time/time.h"
#include "base/service_spec.h"
#include "base/status.h"

namespace stele::machined {

// OK when the service does what `readiness` asks. kStarted and kExited have nothing to ask.
absl::Status Probe(const ServiceSpec::Readiness& readiness, absl::Duration timeout);

}  // namespace stele::machined
