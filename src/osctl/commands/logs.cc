// osctl logs: of services, of the kernel, of containers, one or several as one.
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/read_log.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::LogName;

struct Options {
  std::vector<std::string> sources;
  std::string container;
  LogOptions log;
};

LogName NameOf(const std::string& word) {
  LogName name;
  if (absl::StrContains(word, "/")) {
    name.mutable_container()->set_container(word);
  } else if (word == "kernel") {
    name.mutable_kernel();
  } else if (word == "audit") {
    name.mutable_audit();
  } else {
    name.set_service(word);
  }
  return name;
}

ExitCode Logs(Session& session, const Options& options) {
  std::vector<std::string> names = options.sources;
  std::vector<LogName> logs;
  for (const std::string& word : options.sources) logs.push_back(NameOf(word));
  if (!options.container.empty()) {
    names.push_back(options.container);
    logs.emplace_back().mutable_container()->set_container(options.container);
  }
  if (logs.empty()) {
    return session.Report(
        "", UsageError("name a service, kernel, a pod, or a container with -c", "see `osctl logs --help`"));
  }
  stele::machine::v1::ReadLogRequest request;
  if (logs[0].has_service()) request.set_service(logs[0].service());
  if (logs[0].has_kernel()) request.mutable_kernel();
  if (logs[0].has_container()) *request.mutable_container() = logs[0].container();
  if (logs[0].has_audit()) request.mutable_audit();
  request.mutable_more()->Assign(logs.begin() + 1, logs.end());
  std::string doing = absl::StrCat("logs of ", absl::StrJoin(names, ", "));
  if (names.size() == 1) names.clear();  // one needs no name on each line
  return ReadLog(session, doing, std::move(request), options.log, names);
}

}  // namespace

Command LogsCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "logs";
  command.summary = "shows logs of services, of the kernel and of containers";
  command.description =
      "  osctl logs kubelet -f --tail 20\n"
      "  osctl logs kubelet containerd kernel --since 10m    several as one, in the order of time\n"
      "  osctl logs kubelet --since 2h --until 1h -g '(?i)evict'\n"
      "  osctl logs default/hello             a pod with one container; with more: default/hello/CONTAINER;\n"
      "                                       also one that is gone (`osctl get keptlogs`)\n"
      "  osctl logs -c 4f8a                   a container by its id, or the beginning of it\n"
      "  osctl logs kubelet --previous-boot   the last 256 KiB before the machine was told to end";
  command.arguments = {
      {"", "SOURCE", "a service as in `osctl get services`, kernel, audit, or NAMESPACE/POD[/CONTAINER]",
       &options->sources, Presence::kOptional, Completion::kService},
      {"-c,--container", "ID", "a container", &options->container},
  };
  AddLogArguments(&options->log, &command.arguments);
  command.run = [options](Session& session) { return Logs(session, *options); };
  return command;
}

}  // namespace stele::osctl
