// osctl explain: what a key of the configuration, or a resource type, is. Speaks to no node.
#include "osctl/explain/explain.h"

#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string path;
  bool recursive = false;
};

ExitCode RunExplain(Session& session, const Options& options) {
  if (options.recursive) {
    if (!options.path.empty()) return session.Report("", UsageError("explain: -r takes no PATH"));
    session.console().Out(ExplainTree());
    return ExitCode::kOk;
  }
  absl::StatusOr<std::string> text = Explain(options.path, session.console().OutColumns(100));
  if (!text.ok()) return session.Report("", Annotate(text.status(), "explain"));
  session.console().Out(*text);
  return ExitCode::kOk;
}

}  // namespace

Command ExplainCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "explain";
  command.summary = "tells what a key of the configuration is, or a resource type";
  command.description =
      "What it holds, what holds without it, which values are taken, what a change of it does, and an example. Of the\n"
      "version that osctl is; it asks no node.\n"
      "  osctl explain network.interfaces.mtu\n"
      "  osctl explain services.state";
  command.arguments = {
      {"", "PATH", "a key such as network.hostname, or a resource type; without it: what there is", &options->path},
      {"-r,--recursive", "", "every key of the configuration, with what it holds", &options->recursive},
  };
  command.arguments[0].choices = ExplainedPaths();
  command.arguments[0].check = [](const std::string&) { return std::string(); };  // they are only offered
  command.run = [options](Session& session) { return RunExplain(session, *options); };
  return command;
}

}  // namespace stele::osctl
