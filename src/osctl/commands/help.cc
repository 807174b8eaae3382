// osctl help [COMMAND…]: the same as COMMAND --help.
#include "osctl/help.h"

#include <memory>

#include "absl/strings/str_cat.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

ExitCode Help(Session& session, const std::vector<std::string>& words) {
  std::vector<const Command*> path = {&session.root()};
  for (const std::string& word : words) {
    const Command* found = nullptr;
    for (const Command& child : path.back()->subcommands) {
      if (child.name == word) found = &child;
    }
    if (found == nullptr) {
      return session.Report(
          "", UsageError(absl::StrCat("unknown command '", word, "'; known are ", SubcommandNames(*path.back()))));
    }
    path.push_back(found);
  }
  session.console().Out(HelpText(session.root(), path));
  return ExitCode::kOk;
}

}  // namespace

Command HelpCommand() {
  auto words = std::make_shared<std::vector<std::string>>();
  Command command;
  command.name = "help";
  command.summary = "explains a command";
  command.arguments = {{"", "COMMAND", "the command, and its subcommand", words.get()}};
  command.run = [words](Session& session) { return Help(session, *words); };
  return command;
}

}  // namespace stele::osctl
