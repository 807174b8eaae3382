// osctl service start|stop|restart.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

// Stopping may take a service's whole stop time-out, and starting what its readiness takes.
constexpr absl::Duration kServiceTimeout = absl::Seconds(60);

template <typename Request, typename Response>
Command Verb(const Method<Flow::kUnary, Request, Response>& method, std::string name, std::string done,
             std::string summary) {
  auto service = std::make_shared<std::string>();
  Command command;
  command.name = name;
  command.summary = std::move(summary);
  command.arguments = {
      {"", "SERVICE", "as in `osctl get services`", service.get(), Presence::kRequired, Completion::kService}};
  command.run = [service, method, name, done](Session& session) {
    session.set_default_timeout(kServiceTimeout);
    return session.ForEachNode(absl::StrCat(name, " service ", *service), [&](Node& node) -> absl::Status {
      Request request;
      request.set_name(*service);
      RETURN_IF_ERROR(node.Call(method, request).status());
      session.console().Err(absl::StrCat(session.Prefix(node), "service ", *service, " ", done, "\n"));
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
