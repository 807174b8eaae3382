// osctl service start|stop|restart.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

// Stopping may take a service's whole stop time-out, and starting what its readiness takes.
constexpr absl::Duration kServiceTimeout = absl::Seconds(60);

struct Options {
  std::string name;
  bool force = false;
  bool yes = false;
};

// Makes the command from its method.
template <typename Request, typename Response>
Command Verb(const Method<Flow::kUnary, Request, Response>& method, const char* name, const char* done,
             const char* summary) {
  constexpr bool kEndsIt = !std::is_same_v<Request, stele::machine::v1::StartServiceRequest>;
  auto options = std::make_shared<Options>();
  Command command;
  command.name = name;
  command.summary = summary;
  command.arguments = {
      {"", "SERVICE", "as in `osctl get services`", &options->name, Presence::kRequired, Completion::kService}};
  if (kEndsIt) {
    command.arguments.push_back({"--force", "", "kills it at once, for a service that hangs", &options->force});
    command.arguments.push_back({"-y,--yes", "", "does not ask on a terminal", &options->yes});
  }
  bool asks = std::is_same_v<Request, stele::machine::v1::StopServiceRequest>;
  command.run = [options, method, name, done, asks](Session& session) {
    session.set_default_timeout(kServiceTimeout);
    std::string what = absl::StrCat(name, " service ", options->name);
    ExitCode code = ExitCode::kOk;
    Ask ask = (asks || options->force) && !options->yes ? Ask::kOnTerminal : Ask::kNo;
    if (!Confirmed(session, ask, absl::StrCat(what, " of"), &code)) return code;
    return session.ForEachNode(what, [&](Node& node) -> absl::Status {
      Request request;
      request.set_name(options->name);
      if constexpr (kEndsIt) request.set_force(options->force);
      RETURN_IF_ERROR(node.Call(method, request).status());
      session.console().Err(absl::StrCat(session.Prefix(node), "service ", options->name, " ", done, "\n"));
      return absl::OkStatus();
    });
  };
  return command;
}

}  // namespace

Command ServiceCommand() {
  Command command;
  command.name = "service";
  command.summary = "starts, stops and restarts services";
  command.description = "The command ends when the service has got there; --timeout is 60s by default.";
  command.subcommands = {
      Verb(method::kStartService, "start", "started", "starts a service, and waits until it is ready"),
      Verb(method::kStopService, "stop", "stopped", "stops a service until it is started again, or the node reboots"),
      Verb(method::kRestartService, "restart", "restarted", "stops and starts a service"),
  };
  return command;
}

}  // namespace stele::osctl
