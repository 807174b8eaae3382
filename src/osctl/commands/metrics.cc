// osctl metrics: a node's figures, as monitoring reads them.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::GetMetricsRequest;
using stele::machine::v1::GetMetricsResponse;

ExitCode Metrics(Session& session, const std::string& format) {
  absl::StatusOr<std::vector<std::unique_ptr<Node>>> nodes = session.Nodes();
  if (!nodes.ok()) return session.Report("", nodes.status());
  // Two texts, one behind the other, are none that a parser takes.
  if (nodes->size() > 1) return session.Report("", UsageError("metrics are of one node", "name it with -n"));
  GetMetricsRequest request;
  request.set_format(format == "prometheus" ? stele::machine::v1::METRICS_FORMAT_PROMETHEUS
                                            : stele::machine::v1::METRICS_FORMAT_OPENMETRICS);
  return session.ForEachNode("metrics", [&](Node& node) -> absl::Status {
    ASSIGN_OR_RETURN(GetMetricsResponse response, node.Call(method::kGetMetrics, request));
    session.console().Out(response.text());
    return absl::OkStatus();
  });
}

}  // namespace

Command MetricsCommand() {
  auto format = std::make_shared<std::string>("openmetrics");
  Command command;
  command.name = "metrics";
  command.summary = "shows a node's figures, as monitoring reads them";
  command.description =
      "  osctl -n node-1 metrics --format prometheus > /var/lib/node_exporter/node-1.prom\n"
      "Services, pressure, slots, certificates, disks, interfaces, calls of the API. docs/metrics.md lists them.";
  command.arguments = {
      {"--format",
       "FORMAT",
       "openmetrics or prometheus; default openmetrics",
       format.get(),
       Presence::kOptional,
       Completion::kNone,
       {"openmetrics", "prometheus"}},
  };
  command.run = [format](Session& session) { return Metrics(session, *format); };
  return command;
}

}  // namespace stele::osctl
