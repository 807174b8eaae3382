// osctl traceroute: the routers on the way from the nodes to a host.
#include <memory>

#include "absl/strings/str_format.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/network.h"
#include "osctl/output/format.h"
#include "osctl/stop_on_interrupt.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::TraceHop;
using stele::machine::v1::TraceProbe;
using stele::machine::v1::TraceRouteRequest;
using stele::machine::v1::TraceRouteResponse;

struct Options {
  std::string host;
  bool icmp = false;
  uint32_t max_hops = 0;
  uint32_t probes = 0;
  absl::Duration wait = absl::ZeroDuration();
  std::string source;
  FamilyOptions family;
  std::string output = "table";
};

absl::StatusOr<TraceRouteRequest> RequestOf(const Options& options) {
  TraceRouteRequest request;
  request.set_host(options.host);
  request.set_protocol(options.icmp ? stele::machine::v1::TRACE_PROTOCOL_ICMP : stele::machine::v1::TRACE_PROTOCOL_UDP);
  request.set_max_hops(options.max_hops);
  request.set_probes(options.probes);
  if (options.wait != absl::ZeroDuration()) ToProtoDuration(options.wait, request.mutable_timeout());
  request.set_source(options.source);
  ASSIGN_OR_RETURN(auto family, FamilyOf(options.family));
  request.set_family(family);
  return request;
}

// " 2  10.0.0.1  0.512 ms  0.498 ms  *": an address again only where it is another one.
std::string HopLine(const TraceHop& hop) {
  std::string line = absl::StrFormat("%2d", hop.ttl());
  std::string from;
  for (const TraceProbe& probe : hop.probes()) {
    if (probe.from().empty()) {
      absl::StrAppend(&line, "  ", probe.message().empty() ? "*" : probe.message());
      continue;
    }
    if (probe.from() != from) absl::StrAppend(&line, "  ", probe.from());
    from = probe.from();
    absl::StrAppendFormat(&line, "  %.3f ms", absl::ToDoubleMilliseconds(FromProtoDuration(probe.round_trip())));
    if (!probe.message().empty()) absl::StrAppend(&line, " (", probe.message(), ")");
  }
  return line;
}

bool Answered(const TraceHop& hop) {
  for (const TraceProbe& probe : hop.probes()) {
    if (!probe.from().empty()) return true;
  }
  return false;
}

// All hops as one document.
std::string Document(Session& session, const Node& node, const std::string& address, const std::vector<TraceHop>& hops,
                     bool reached, const std::string& format) {
  Value value = Value::Map(), list = Value::List();
  if (session.several_nodes()) value.Add("node", Value::String(node.name()));
  for (const TraceHop& hop : hops) list.Append(FromProto(hop));
  value.Add("address", Value::String(address)).Add("reached", Value::Literal(reached ? "true" : "false"));
  value.Add("hops", std::move(list));
  return (format == "yaml" && session.several_nodes() ? "---\n" : "") + Structured(value, format);
}

absl::Status TraceNode(Node& node, Session& session, StopOnInterrupt& stop, const TraceRouteRequest& request,
                       const Options& options) {
  bool table = !IsStructured(options.output);
  std::string address;
  std::vector<TraceHop> hops;
  bool answered = false, reached = false;
  absl::Status status = stop.During(node, [&] {
    return node.Stream<TraceRouteRequest, TraceRouteResponse>(
        method::kTraceRoute, request, [&](const TraceRouteResponse& response) {
          if (address.empty() && table) {
            session.console().Out(
                absl::StrCat(session.Prefix(node),
                             Plain(absl::StrCat("traceroute to ", options.host, " (", response.address(), ")")), "\n"));
          }
          address = response.address();
          if (!response.has_hop()) return absl::OkStatus();
          answered = answered || Answered(response.hop());
          reached = reached || response.hop().reached();
          if (table) {
            session.console().Out(absl::StrCat(session.Prefix(node), Plain(HopLine(response.hop())), "\n"));
          } else {
            hops.push_back(response.hop());
          }
          return absl::OkStatus();
        });
  });
  if (!table && !address.empty())
    session.console().Out(Document(session, node, address, hops, reached, options.output));
  RETURN_IF_ERROR(status);
  if (!answered) return NothingAnswered("nothing answered");
  if (!reached) session.Tell(node, absl::StrCat("osctl: ", options.host, " did not answer itself"));
  return absl::OkStatus();
}

}  // namespace

Command TracerouteCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "traceroute";
  command.summary = "shows the routers on the way from the nodes to a host";
  command.description =
      "Each packet may pass one router more than the one before; * is one that nobody answered. Exit code 1 when\n"
      "nothing answered at all.";
  command.arguments = {
      {"", "HOST", "an address or a name, which the node looks up", &options->host, Presence::kRequired},
      {"--icmp", "", "send echo requests instead of UDP: some networks let only one of them pass", &options->icmp},
      {"-m,--max-hops", "N", "give up after so many, at most 64; default 30", &options->max_hops},
      {"-q,--probes", "N", "packets for each hop, at most 10; default 3", &options->probes},
      {"-W,--wait", "DURATION", "for each answer, at most 10s; default 1s", &options->wait},
      SourceArgument(&options->source),
  };
  AddFamilyArguments(&options->family, &command.arguments);
  command.arguments.push_back(OutputArgument(&options->output, {"table", "json", "yaml"}));
  command.run = [options](Session& session) {
    absl::StatusOr<TraceRouteRequest> request = RequestOf(*options);
    if (!request.ok()) return session.Report("", request.status());
    StopOnInterrupt stop;
    return session.ForEachNode(absl::StrCat("traceroute ", options->host),
                               [&](Node& node) { return TraceNode(node, session, stop, *request, *options); });
  };
  return command;
}

}  // namespace stele::osctl
