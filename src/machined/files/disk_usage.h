// What a directory takes on its disk.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "machined/files/file_walk.h"

namespace stele::machined {

struct UsageOptions {
  uint32_t depth = 0;  // that is told; all is counted
  uint64_t entries = 20'000'000;
  uint64_t told = 100'000;  // directories
  Crossing crossing = Crossing::kRefuse;
  // Asked at each entry: a walk may go on for long without telling anything.
  std::function<absl::Status()> keep_going;
};

using TellUsage = std::function<absl::Status(machine::v1::DirectoryUsage usage)>;

// Tells of directories below `root` for `role`, each after those in it, and of `root` last. `root` may be a file.
absl::Status CountUsage(const FoundFile& root, Need role, const UsageOptions& options, const TellUsage& tell,
                        Omissions& omissions);

}  // namespace stele::machined
