// osctl container restart.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct RestartOptions {
  std::string name;
  absl::Duration grace = absl::Seconds(10);
  bool yes = false;
};

Command RestartCommand() {
  auto options = std::make_shared<RestartOptions>();
  Command command;
  command.name = "restart";
  command.summary = "ends a container; the kubelet starts it again as its pod says";
  command.description = "The command ends when the container has. A pod with restartPolicy Never stays as it is then.";
  command.arguments = {
      {"", "CONTAINER", "NAMESPACE/POD/NAME, NAMESPACE/POD where the pod has one, or the beginning of its id",
       &options->name, Presence::kRequired},
      {"--grace", "DURATION", "between SIGTERM and SIGKILL, at most 300s; default 10s", &options->grace},
      {"-y,--yes", "", "does not ask on a terminal", &options->yes},
  };
  command.run = [options](Session& session) {
    session.set_default_timeout(options->grace + absl::Seconds(30));
    std::string what = absl::StrCat("restart container ", options->name);
    ExitCode code = ExitCode::kOk;
    Ask ask = options->yes ? Ask::kNo : Ask::kOnTerminal;
    if (!Confirmed(session, ask, absl::StrCat(what, " of"), &code)) return code;
    return session.ForEachNode(what, [&](Node& node) -> absl::Status {
      stele::machine::v1::RestartContainerRequest request;
      request.set_container(options->name);
      request.set_grace_seconds(
          static_cast<uint32_t>(absl::ToInt64Seconds(absl::Ceil(options->grace, absl::Seconds(1)))));
      ASSIGN_OR_RETURN(auto response, node.Call(method::kRestartContainer, request));
      session.Tell(node, absl::StrCat(response.container(), " ended"));
      return absl::OkStatus();
    });
  };
  return command;
}

}  // namespace

Command ContainerCommand() {
  Command command;
  command.name = "container";
  command.summary = "restarts containers";
  command.subcommands = {RestartCommand()};
  return command;
}

}  // namespace stele::osctl
