#include "osctl/commands/end.h"

#include "osctl/failure.h"

namespace stele::osctl {

void AddEndArguments(EndOptions* options, std::vector<Argument>* arguments) {
  const std::vector<Argument> all = {
      {"--force", "", "skips the orderly part: kill, sync, go; also while an orderly one runs", &options->force},
      {"--dry-run", "", "only asks the node whether it would", &options->dry_run},
      {"-y,--yes", "", "does not ask on a terminal", &options->yes},
  };
  arguments->insert(arguments->end(), all.begin(), all.end());
}

bool Confirmed(Session& session, Ask ask, absl::string_view what, ExitCode* code) {
  if (ask == Ask::kNo || !session.console().InIsTerminal()) return true;
  absl::StatusOr<std::vector<Target>> nodes = session.Targets();
  if (!nodes.ok()) {
    *code = session.Report("", nodes.status());
    return false;
  }
  std::vector<std::string> names;
  for (const Target& node : *nodes) names.push_back(node.name);
  std::string count = names.size() > 1 ? absl::StrCat(names.size(), " nodes, ") : "";
  if (session.console().Confirm(absl::StrCat(what, " ", count, NamesOf(names), "?"))) return true;
  session.console().Err("nothing was done\n");
  *code = ExitCode::kFailed;
  return false;
}

bool ConfirmedOrTold(Session& session, bool yes, absl::string_view what, ExitCode* code) {
  if (yes || session.console().InIsTerminal()) return Confirmed(session, yes ? Ask::kNo : Ask::kOnTerminal, what, code);
  *code = session.Report("", UsageError("nothing was done: there is no terminal to ask on", "say --yes"));
  return false;
}

}  // namespace stele::osctl
