// osctl gen reference: the pages under docs/ that are made from the commands' data.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/help.h"
#include "osctl/session.h"

namespace stele::osctl {

Command GenReferenceCommand() {
  auto exit_codes = std::make_shared<bool>(false);
  Command command;
  command.name = "reference";
  command.summary = "prints this program's reference page, as Markdown";
  command.arguments = {{"--exit-codes", "", "the page of the exit codes instead", exit_codes.get()}};
  command.run = [exit_codes](Session& session) {
    session.console().Out(*exit_codes ? ExitCodePage() : ReferencePage(session.root()));
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
