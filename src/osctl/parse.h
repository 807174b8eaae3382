// Command line in, chosen command out. The only file that knows CLI11, which costs seconds to compile.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "osctl/command.h"

namespace stele::osctl {

struct Parsed {
  const Command* command = nullptr;  // what was chosen; the root itself when nothing was
  std::vector<const Command*> path;  // from the root to it
  bool help = false;                 // --help was among the words
};

// Fills the arguments' targets along the path. `words` without the program's name. The root's
// arguments are taken anywhere. A wrong command line is a UsageError that says what was expected.
absl::StatusOr<Parsed> Parse(const Command& root, const std::vector<std::string>& words);

}  // namespace stele::osctl
