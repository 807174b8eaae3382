// What the commands that end something share: reboot, shutdown, service stop.
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

enum class Ask : unsigned char { kNo, kOnTerminal };

// On a terminal, asks whether to do `what` with the nodes that would be taken. False: the answer was
// no, or the nodes are not known; then `code` says what to end with.
bool Confirmed(Session& session, Ask ask, absl::string_view what, ExitCode* code);
// For what destroys: asks on a terminal, and elsewhere wants to be told --yes.
bool ConfirmedOrTold(Session& session, bool yes, absl::string_view what, ExitCode* code);
inline Ask AskFor(const EndOptions& options) { return options.yes || options.dry_run ? Ask::kNo : Ask::kOnTerminal; }

}  // namespace stele::osctl
