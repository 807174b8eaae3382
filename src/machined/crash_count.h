// How often machined crashed in this boot: a fatal signal of its own doing, not a kill from outside (SIGKILL, SIGTERM).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace stele::machined {

// How many there were, by `path`, a file below /run with a byte for each; from now on the next one is added, by a
// handler of SIGSEGV, SIGABRT, SIGBUS, SIGFPE and SIGILL after which the signal does what it does without one. Once,
// before there are threads.
absl::StatusOr<uint32_t> BeginCrashCount(const std::string& path);

}  // namespace stele::machined
