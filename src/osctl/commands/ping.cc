// osctl ping: is a host there, seen from the nodes.
#include <memory>

#include "absl/strings/str_format.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/network.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/stop_on_interrupt.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::PingEvent;
using stele::machine::v1::PingRequest;
using stele::machine::v1::PingResponse;
using stele::machine::v1::PingSummary;

struct Options {
  std::string host;
  uint32_t count = 0;
  absl::Duration interval = absl::ZeroDuration();
  std::string size;
  absl::Duration wait = absl::ZeroDuration();
  std::string source;
  bool dont_fragment = false;
  FamilyOptions family;
  std::string output = "table";
};

absl::StatusOr<PingRequest> RequestOf(const Options& options) {
  PingRequest request;
  request.set_host(options.host);
  request.set_count(options.count);
  if (options.interval != absl::ZeroDuration()) ToProtoDuration(options.interval, request.mutable_interval());
  if (options.wait != absl::ZeroDuration()) ToProtoDuration(options.wait, request.mutable_timeout());
  uint32_t size = 0;
  if (!options.size.empty() && !absl::SimpleAtoi(options.size, &size))
    return UsageError("--size takes a number of bytes");
  if (!options.size.empty()) request.set_size(size);
  request.set_source(options.source);
  request.set_dont_fragment(options.dont_fragment);
  ASSIGN_OR_RETURN(auto family, FamilyOf(options.family));
  request.set_family(family);
  return request;
}

std::string Milliseconds(const google::protobuf::Duration& duration) {
  return absl::StrFormat("%.3f", absl::ToDoubleMilliseconds(FromProtoDuration(duration)));
}

std::string EventLine(const PingEvent& event) {
  switch (event.outcome()) {
    case stele::machine::v1::PING_OUTCOME_REPLY:
    case stele::machine::v1::PING_OUTCOME_DUPLICATE:
      return absl::StrCat(event.size(), " bytes from ", event.from(), ": seq=", event.sequence(), " ttl=", event.ttl(),
                          " time=", Milliseconds(event.round_trip()), " ms",
                          event.outcome() == stele::machine::v1::PING_OUTCOME_DUPLICATE ? " (again)" : "");
    case stele::machine::v1::PING_OUTCOME_TIMEOUT:
      return absl::StrCat("seq=", event.sequence(), ": no answer");
    default:
      return absl::StrCat(event.from().empty() ? "" : absl::StrCat("from ", event.from(), ": "),
                          "seq=", event.sequence(), ": ", event.message());
  }
}

std::string SummaryLine(const std::string& host, const PingSummary& summary) {
  std::string line = absl::StrFormat("%s: %d sent, %d received, %.3g%% lost", host, summary.transmitted(),
                                     summary.received(), summary.loss_percent());
  if (summary.errors() != 0) absl::StrAppend(&line, ", ", summary.errors(), " errors");
  if (summary.duplicates() != 0) absl::StrAppend(&line, ", ", summary.duplicates(), " duplicates");
  if (summary.received() != 0) {
    absl::StrAppend(&line, "; min/avg/max/mdev ", Milliseconds(summary.min()), "/", Milliseconds(summary.avg()), "/",
                    Milliseconds(summary.max()), "/", Milliseconds(summary.mdev()), " ms");
  }
  return line;
}

absl::Status PingNode(Node& node, Session& session, StopOnInterrupt& stop, const PingRequest& request,
                      const Options& options) {
  bool table = !IsStructured(options.output);
  PingResponse last;
  bool begun = false;
  absl::Status status = stop.During(node, [&] {
    return node.Stream<PingRequest, PingResponse>(method::kPing, request, [&](const PingResponse& response) {
      last = response;
      if (!std::exchange(begun, true) && table) {
        session.console().Out(absl::StrCat(
            session.Prefix(node), Plain(absl::StrCat("ping ", options.host, " (", response.address(), ")")), "\n"));
      }
      if (response.has_event() && table) {
        session.console().Out(absl::StrCat(session.Prefix(node), Plain(EventLine(response.event())), "\n"));
      }
      return absl::OkStatus();
    });
  });
  if (begun) {
    last.clear_event();
    session.console().Out(
        table ? absl::StrCat(session.Prefix(node), Plain(SummaryLine(options.host, last.summary())), "\n")
              : StructuredOf(session, node, last, options.output));
  }
  RETURN_IF_ERROR(status);
  if (last.summary().received() == 0) return NothingAnswered("nothing answered");
  return absl::OkStatus();
}

}  // namespace

Command PingCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "ping";
  command.summary = "asks a host whether it is there, seen from the nodes";
  command.description =
      "Until Ctrl-C, or as often as -c says; then sums up. json and yaml show the summary alone.\n"
      "Exit code 1 when nothing answered.\n"
      "  osctl ping 10.0.0.1 -c 3\n"
      "  osctl ping -n all registry.example.com -I eth0\n"
      "  osctl ping 10.0.0.1 -c 1 --dont-fragment --size 1472     whether 1,500 bytes pass in one piece";
  command.arguments = {
      {"", "HOST", "an address or a name, which the node looks up", &options->host, Presence::kRequired},
      {"-c,--count", "N", "how often; default: until Ctrl-C", &options->count},
      {"-i,--interval", "DURATION", "from one to the next, 100ms to 1m; default 1s", &options->interval},
      {"-s,--size", "BYTES", "after the ICMP header, at most 16000; default 56", &options->size},
      {"-W,--wait", "DURATION", "for each answer, at most 10s; default 2s", &options->wait},
      SourceArgument(&options->source),
      {"--dont-fragment", "", "let nobody take a packet apart", &options->dont_fragment},
  };
  AddFamilyArguments(&options->family, &command.arguments);
  command.arguments.push_back(OutputArgument(&options->output, {"table", "json", "yaml"}));
  command.run = [options](Session& session) {
    absl::StatusOr<PingRequest> request = RequestOf(*options);
    if (!request.ok()) return session.Report("", request.status());
    StopOnInterrupt stop;
    return session.ForEachNode(absl::StrCat("ping ", options->host),
                               options->count == 0 ? Lasts::kUntilEnded : Lasts::kUntilDone,
                               [&](Node& node) { return PingNode(node, session, stop, *request, *options); });
  };
  return command;
}

}  // namespace stele::osctl
