// What a shell may offer next, for `osctl completion`.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"

namespace stele::osctl {

struct CompletionQuestion {
  Completion kind = Completion::kNone;
  std::vector<std::string> candidates;   // known without asking anybody
  std::vector<std::string> positionals;  // words already given to the command
};

// What fits the last of `words` (which may be empty); the words before it are complete.
CompletionQuestion WhatFits(const Command& root, const std::vector<std::string>& words);

}  // namespace stele::osctl
