// The whole program but for main: words in, exit code out. What tests call.
#pragma once

#include <string>
#include <vector>

#include "osctl/console.h"
#include "osctl/context.h"
#include "osctl/exit_code.h"

namespace stele::osctl {

// `words` without the program's name.
ExitCode Run(const std::vector<std::string>& words, Getenv getenv, Console* console);

}  // namespace stele::osctl
