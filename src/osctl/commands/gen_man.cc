// osctl gen man: manual pages, a file for each command.
#include <memory>

#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/man_page.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

absl::Status Write(const std::string& directory, const Command& root) {
  for (const ManPage& page : ManPages(root)) {
    absl::Status written = ReplaceFile(absl::StrCat(directory, "/", page.name), page.text, 0644);
    if (!written.ok()) return WithExit(written, ExitCode::kLocal, "DIR has to exist");
  }
  return absl::OkStatus();
}

}  // namespace

Command GenManCommand() {
  auto directory = std::make_shared<std::string>();
  Command command;
  command.name = "man";
  command.summary = "writes this program's manual pages";
  command.description =
      "One for osctl, and one for each command: osctl-config-apply.1.\n"
      "  osctl gen man ~/.local/share/man/man1 && man osctl-config-apply";
  command.arguments = {{"", "DIR", "where to, which is there; files of these names are replaced", directory.get(),
                        Presence::kRequired, Completion::kDirectory}};
  command.run = [directory](Session& session) {
    absl::Status written = Write(*directory, session.root());
    return written.ok() ? ExitCode::kOk : session.Report("", Annotate(written, "gen man"));
  };
  return command;
}

}  // namespace stele::osctl
