// osctl shutdown.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"

namespace stele::osctl {
namespace {

struct Options {
  EndOptions end;
  bool halt = false;
};

absl::Status ShutdownNode(Node& node, Session& session, const Options& options) {
  stele::machine::v1::ShutdownRequest request;
  request.set_force(options.end.force);
  request.set_halt(options.halt);
  request.set_validate_only(options.end.dry_run);
  RETURN_IF_ERROR(node.Call(method::kShutdown, request).status());
  absl::string_view what = options.halt ? "halt" : "power off";
  absl::string_view done = options.halt ? "halts" : "powers off";
  session.console().Err(
      absl::StrCat(session.Prefix(node), options.end.dry_run ? "would " : "", options.end.dry_run ? what : done, "\n"));
  return absl::OkStatus();
}

}  // namespace

Command ShutdownCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "shutdown";
  command.summary = "stops everything in order and powers off";
  AddEndArguments(&options->end, &command.arguments);
  command.arguments.push_back({"--halt", "", "stops the processor but leaves the power on", &options->halt});
  command.run = [options](Session& session) {
    ExitCode code = ExitCode::kOk;
    if (!Confirmed(session, AskFor(options->end), "shut down", &code)) return code;
    return session.ForEachNode("shutdown", [&](Node& node) { return ShutdownNode(node, session, *options); });
  };
  return command;
}

}  // namespace stele::osctl
