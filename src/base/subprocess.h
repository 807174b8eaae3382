// A program run to its end, from a process with threads.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele {

struct SubprocessResult {
  int exit_code = 0;   // of a program that ended by itself
  int signal = 0;      // else what ended it
  std::string output;  // standard output and error, in the order written; at most 64 KiB
};

// Runs argv[0] (a path) with only `env` in its environment, no input, and no descriptor of ours; its
// process group gets SIGKILL after `timeout`, which is DEADLINE_EXCEEDED. NOT_FOUND and the like where
// it could not be started. Blocks: not for owner threads.
absl::StatusOr<SubprocessResult> RunSubprocess(const std::vector<std::string>& argv,
                                               const std::vector<std::string>& env, absl::Duration timeout);

// The same, where everything but exit 0 is a failure, told with the end of the output.
absl::Status RunChecked(const std::vector<std::string>& argv, const std::vector<std::string>& env,
                        absl::Duration timeout);

}  // namespace stele
