// The one way in which a process with threads starts a program.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/status.h"

namespace stele {

// Descriptors that a program begins with, borrowed.
struct StandardStreams {
  int input = -1;  // -1: /dev/null
  int output = -1;
  int error = -1;
};

// Starts argv[0] (a path) with only `env` in its environment, in a process group of its own, with no blocked or
// handled signal and no descriptor of ours but the three. NOT_FOUND and the like where it could not be started.
absl::StatusOr<pid_t> PosixSpawn(const std::vector<std::string>& argv, const std::vector<std::string>& env,
                                 const StandardStreams& streams);

}  // namespace stele
