// osctl gen reference: the pages under docs/ that are made from the commands' data, and one for the web.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/help.h"
#include "osctl/man_page.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  bool exit_codes = false;
  bool html = false;
};

}  // namespace

Command GenReferenceCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "reference";
  command.summary = "prints this program's reference page, as Markdown or HTML";
  command.arguments = {{"--exit-codes", "", "the page of the exit codes instead", &options->exit_codes},
                       {"--html", "", "as HTML: one page that needs no other file", &options->html}};
  command.run = [options](Session& session) {
    if (options->html && options->exit_codes) {
      return session.Report("", UsageError("gen reference: either --exit-codes or --html"));
    }
    session.console().Out(options->html         ? WebPage(session.root())
                          : options->exit_codes ? ExitCodePage()
                                                : ReferencePage(session.root()));
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
