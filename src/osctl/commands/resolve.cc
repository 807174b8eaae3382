// osctl resolve: what a name means to the nodes, and who says so.
#include <memory>

#include "absl/strings/str_join.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/network.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::DnsRecord;
using stele::machine::v1::ResolveQuery;
using stele::machine::v1::ResolveRequest;
using stele::machine::v1::ResolveResponse;

// Three servers, two types and a search list, each with its time-out.
constexpr absl::Duration kPatience = absl::Seconds(40);

struct Options {
  std::string name;
  std::string server;
  absl::Duration wait = absl::ZeroDuration();
  FamilyOptions family;
  std::string output = "table";
};

absl::StatusOr<ResolveRequest> RequestOf(const Options& options) {
  ResolveRequest request;
  request.set_name(options.name);
  request.set_server(options.server);
  if (options.wait != absl::ZeroDuration()) ToProtoDuration(options.wait, request.mutable_timeout());
  ASSIGN_OR_RETURN(auto family, FamilyOf(options.family));
  request.set_family(family);
  return request;
}

std::string AnswerOf(const ResolveQuery& query) {
  if (query.code().empty()) return query.message();
  std::vector<std::string> parts;
  for (const DnsRecord& record : query.records()) {
    parts.push_back(absl::StrCat(record.type() == query.type() ? "" : absl::StrCat(record.type(), " "), record.data(),
                                 " (", HumanDuration(absl::Seconds(record.ttl())), ")"));
  }
  if (query.code() != "NOERROR") parts.insert(parts.begin(), query.code());
  return parts.empty() ? "no records" : absl::StrJoin(parts, ", ");
}

std::string Render(const std::string& label, const ResolveResponse& response) {
  std::vector<std::string> headers = {"NAME", "TYPE", "SERVER", "TIME", "ANSWER (TTL)"};
  if (!label.empty()) headers.insert(headers.begin(), "NODE");
  Table table(headers);
  for (const ResolveQuery& query : response.queries()) {
    bool file = query.server() == "/etc/hosts";
    std::vector<std::string> row = {query.name(), query.type(),
                                    absl::StrCat(query.server(), query.tcp() ? " (TCP)" : ""),
                                    file ? "" : HumanDuration(FromProtoDuration(query.duration())),
                                    file ? absl::StrJoin(response.answers(), ", ") : AnswerOf(query)};
    if (!label.empty()) row.insert(row.begin(), label);
    table.AddRow(row);
  }
  return table.Render();
}

absl::Status ResolveNode(Node& node, Session& session, const ResolveRequest& request, const Options& options) {
  ASSIGN_OR_RETURN(ResolveResponse response, node.Call(method::kResolve, request));
  session.console().Out(IsStructured(options.output) ? StructuredOf(session, node, response, options.output)
                                                     : Render(session.Label(node), response));
  if (response.answers().empty()) return NothingAnswered("the name has no answer");
  return absl::OkStatus();
}

}  // namespace

Command ResolveCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "resolve";
  command.summary = "looks a name up as the nodes do, and shows who says what";
  command.description =
      "One line for each question: /etc/hosts, then the name servers in order, with the search list. An address gives\n"
      "its names. Exit code 1 when there is no answer.";
  command.arguments = {
      {"", "NAME", "a name, or an address", &options->name, Presence::kRequired},
      {"--server", "ADDRESS", "ask this name server, ADDRESS[:PORT], instead of the node's own", &options->server},
      {"-W,--wait", "DURATION", "for each server, at most 10s; default 2s", &options->wait},
  };
  AddFamilyArguments(&options->family, &command.arguments);
  command.arguments.push_back(OutputArgument(&options->output, {"table", "json", "yaml"}));
  command.run = [options](Session& session) {
    absl::StatusOr<ResolveRequest> request = RequestOf(*options);
    if (!request.ok()) return session.Report("", request.status());
    session.set_default_timeout(kPatience);
    return session.ForEachNode(absl::StrCat("resolve ", options->name),
                               [&](Node& node) { return ResolveNode(node, session, *request, *options); });
  };
  return command;
}

}  // namespace stele::osctl
