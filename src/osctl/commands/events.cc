// osctl events: what happened on the nodes.
#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "osctl/client/follow.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/resource.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::Event;
using stele::machine::v1::StreamEventsRequest;
using stele::machine::v1::StreamEventsResponse;

struct Options {
  bool follow = false;
  std::string after;
  std::string boot;
  std::string output = "table";
};

// One line each, since nobody knows how many come. Control characters become '?'.
std::string EventLine(const Event& event) {
  absl::Time time = absl::FromUnixSeconds(event.time().seconds()) + absl::Nanoseconds(event.time().nanos());
  const auto* severity = stele::machine::v1::Severity_descriptor()->FindValueByNumber(event.severity());
  std::string line =
      absl::StrFormat("%s  %-7s  %-24s  %s", Rfc3339(time), severity == nullptr ? "" : EnumText(severity),
                      absl::StrCat(event.kind(), "/", event.subject()), event.message());
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return line + "\n";
}

std::string Render(const StreamEventsResponse& response, const Node& node, Session& session, const Options& options) {
  const Event& event = response.event();
  if (!IsStructured(options.output)) return session.Prefix(node) + EventLine(event);
  Value value = Value::Map();
  if (session.several_nodes()) value.Add("node", Value::String(node.name()));
  Value fields = FromProto(event);
  for (const auto& [key, field] : fields.items()) value.Add(key, field);
  value.Add("bootId", Value::String(response.boot_id()));
  return options.output == "json" ? ToJson(value, Layout::kOneLine) : "---\n" + ToYaml(value);
}

absl::Status StreamNode(Node& node, Session& session, const Options& options, uint64_t after) {
  StreamEventsRequest request;
  request.set_follow(options.follow);
  request.set_after_id(after);
  request.set_boot_id(options.boot);
  return Follow(node, session.console(), session.follow_patience(), [&](const std::function<void()>& alive) {
    return node.Stream<StreamEventsRequest, StreamEventsResponse>(
        method::kStreamEvents, request, [&](const StreamEventsResponse& response) {
          alive();
          if (response.lost() != 0) {
            session.console().Err(
                absl::StrCat("osctl: ", node.name(), ": ", response.lost(), " events between are no longer kept\n"));
          }
          session.console().Out(Render(response, node, session, options));
          request.set_after_id(response.event().id());
          request.set_boot_id(response.boot_id());
          return absl::OkStatus();
        });
  });
}

}  // namespace

Command EventsCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "events";
  command.summary = "shows what happened on the nodes";
  command.description =
      "The node keeps the last 1,024 of the boot. json is one object a line, with the id and boot that --after and\n"
      "--boot take: what was seen is not shown again, also when machined was restarted meanwhile.";
  command.arguments = {
      {"-f,--follow", "", "go on as things happen", &options->follow},
      {"--after", "ID", "only those after this one", &options->after},
      {"--boot", "BOOT-ID", "the boot that --after is of; in another one all count as new", &options->boot},
      OutputArgument(&options->output, {"table", "json", "yaml"}),
  };
  command.run = [options](Session& session) {
    uint64_t after = 0;
    if (!options->after.empty() && !absl::SimpleAtoi(options->after, &after))
      return session.Report("", UsageError(absl::StrCat("--after: ", options->after, " is no event's id")));
    return session.ForEachNode("events", options->follow ? Lasts::kUntilEnded : Lasts::kUntilDone,
                               [&](Node& node) { return StreamNode(node, session, *options, after); });
  };
  return command;
}

}  // namespace stele::osctl
