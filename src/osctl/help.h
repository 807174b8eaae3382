// --help and the reference page, from the commands' data.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "osctl/command.h"

namespace stele::osctl {

// "osctl service start".
std::string CommandPath(const std::vector<const Command*>& path);
// "start, stop, restart".
std::string SubcommandNames(const Command& group);
// The parts of a command's help, for whatever shows it otherwise (man_page.h): terms and what they mean.
using HelpLines = std::vector<std::pair<std::string, std::string>>;
HelpLines CommandLines(const Command& command);
HelpLines ArgumentLines(const Command& command);
HelpLines OptionLines(const Command& command);
HelpLines GlobalOptionLines(const Command& root);
HelpLines ExitCodeLines();
// "osctl get TYPE [ID...] [OPTIONS]".
std::string UsageLine(const std::vector<const Command*>& path);
// What `PATH --help` prints. `root` has the global options.
std::string HelpText(const Command& root, const std::vector<const Command*>& path);
// Calls `visit` for `root` and every command below it that is not hidden, each before those below it.
void ForEachCommand(const Command& root, const std::function<void(const std::vector<const Command*>& path)>& visit);
// docs/osctl.md: the help of every command, and docs/exit-codes.md: the table.
std::string ReferencePage(const Command& root);
std::string ExitCodePage();

}  // namespace stele::osctl
