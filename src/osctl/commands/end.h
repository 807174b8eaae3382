// What `osctl reboot` and `osctl shutdown` share.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"
#include "osctl/session.h"

namespace stele::osctl {

struct EndOptions {
  bool force = false;
  bool dry_run = false;
  bool yes = false;
};
// --force, --dry-run, -y.
void AddEndArguments(EndOptions* options, std::vector<Argument>* arguments);

// On a terminal, asks whether to `verb` the nodes that would be taken. False: the answer was no, or
// the nodes are not known; then `code` says what to end with.
bool Confirmed(Session& session, const EndOptions& options, absl::string_view verb, ExitCode* code);

}  // namespace stele::osctl
