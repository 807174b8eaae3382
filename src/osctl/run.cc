#include "osctl/run.h"

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/help.h"
#include "osctl/parse.h"
#include "osctl/session.h"

namespace stele::osctl {

ExitCode Run(const std::vector<std::string>& words, Getenv getenv, Console* console) {
  GlobalOptions options;
  Command root = RootCommand(&options);
  Session session(&options, std::move(getenv), console, &root);
  // What is being completed is no command line yet: it goes to the command unparsed.
  if (!words.empty() && words[0] == "__complete") return Complete(session, &options, {words.begin() + 1, words.end()});
  absl::StatusOr<Parsed> parsed = Parse(root, words);
  if (!parsed.ok()) return session.Report("", parsed.status());
  if (parsed->help || words.empty()) {
    console->Out(HelpText(root, parsed->path));
    return ExitCode::kOk;
  }
  if (!parsed->command->run) {
    return session.Report("", UsageError(absl::StrCat("`", CommandPath(parsed->path),
                                                      "` needs a command: ", SubcommandNames(*parsed->command))));
  }
  return parsed->command->run(session);
}

}  // namespace stele::osctl
