// --help and the reference page, from the commands' data.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"

namespace stele::osctl {

// "osctl service start".
std::string CommandPath(const std::vector<const Command*>& path);
// "start, stop, restart".
std::string SubcommandNames(const Command& group);
// What `PATH --help` prints. `root` has the global options.
std::string HelpText(const Command& root, const std::vector<const Command*>& path);
// docs/osctl.md: the help of every command, and docs/exit-codes.md: the table.
std::string ReferencePage(const Command& root);
std::string ExitCodePage();

}  // namespace stele::osctl
