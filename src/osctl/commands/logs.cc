// osctl logs: of a service or of a container.
#include <memory>

#include "absl/strings/match.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/read_log.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string source;
  std::string container;
  LogOptions log;
};

ExitCode Logs(Session& session, const Options& options) {
  if (options.source.empty() == options.container.empty()) {
    return session.Report("", UsageError("name a service, a pod, or a container with -c", "see `osctl logs --help`"));
  }
  stele::machine::v1::ReadLogRequest request;
  const std::string& name = options.source.empty() ? options.container : options.source;
  if (!options.container.empty() || absl::StrContains(name, "/")) {
    request.mutable_container()->set_container(name);
  } else {
    request.set_service(name);
  }
  return ReadLog(session, absl::StrCat("logs of ", name), std::move(request), options.log);
}

}  // namespace

Command LogsCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "logs";
  command.summary = "shows the log of a service or of a container";
  command.description =
      "  osctl logs kubelet -f --tail 20\n"
      "  osctl logs default/hello             a pod with one container; with more: default/hello/CONTAINER\n"
      "  osctl logs -c 4f8a                   a container by its id, or the beginning of it";
  command.arguments = {
      {"", "SOURCE", "a service as in `osctl get services`, or NAMESPACE/POD[/CONTAINER]", &options->source,
       Presence::kOptional, Completion::kService},
      {"-c,--container", "ID", "a container", &options->container},
  };
  AddLogArguments(&options->log, &command.arguments);
  command.run = [options](Session& session) { return Logs(session, *options); };
  return command;
}

}  // namespace stele::osctl
