// osctl probe: does a port take connections, does a web server answer, seen from the nodes.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/network.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ProbeRequest;
using stele::machine::v1::ProbeResponse;

// The longest probe, and a name before it.
constexpr absl::Duration kPatience = absl::Seconds(70);

struct Options {
  std::string target;
  bool get = false;
  absl::Duration wait = absl::ZeroDuration();
  std::string source;
  FamilyOptions family;
  std::string output = "table";
};

std::string Time(bool known, const google::protobuf::Duration& duration) {
  return known ? HumanDuration(FromProtoDuration(duration)) : "";
}

// What happened, as one cell.
std::string ResultOf(const ProbeResponse& response) {
  if (!response.answered()) return absl::StrCat(response.failed_step(), ": ", response.message());
  return response.status_line().empty() ? "connected" : response.status_line();
}

std::string Render(const std::string& label, const ProbeResponse& response, bool web) {
  std::vector<std::string> headers = {"ADDRESS", "NAME", "CONNECT"};
  std::vector<std::string> row = {response.address(), Time(response.has_name_time(), response.name_time()),
                                  Time(response.has_connect_time(), response.connect_time())};
  if (web) {
    headers.insert(headers.end(), {"TLS", "HTTP"});
    row.push_back(Time(response.has_tls_time(), response.tls_time()));
    row.push_back(Time(response.has_http_time(), response.http_time()));
  }
  headers.emplace_back("RESULT");
  row.push_back(ResultOf(response));
  if (!label.empty()) headers.insert(headers.begin(), "NODE"), row.insert(row.begin(), label);
  Table table(headers);
  table.AddRow(row);
  std::string text = table.Render();
  if (!response.has_tls()) return text;
  const auto& tls = response.tls();
  absl::Time end = absl::FromUnixSeconds(tls.not_after().seconds());
  Table certificate({"TLS", "SUBJECT", "ISSUER", "EXPIRES", "TRUSTED"});
  certificate.AddRow({tls.version(), tls.subject(), tls.issuer(), tls.has_not_after() ? Rfc3339(end) : "",
                      tls.trusted() ? "yes" : absl::StrCat("no: ", tls.problem())});
  return text + certificate.Render();
}

absl::Status ProbeNode(Node& node, Session& session, const ProbeRequest& request, const Options& options) {
  ASSIGN_OR_RETURN(ProbeResponse response, node.Call(method::kProbe, request));
  session.console().Out(IsStructured(options.output) ? StructuredOf(session, node, response, options.output)
                                                     : Render(session.Label(node), response, request.has_url()));
  if (!response.answered()) return NothingAnswered(ResultOf(response));
  return absl::OkStatus();
}

ExitCode Probe(Session& session, ProbeRequest request, const Options& options) {
  if (options.wait != absl::ZeroDuration()) ToProtoDuration(options.wait, request.mutable_timeout());
  request.set_source(options.source);
  absl::StatusOr<stele::machine::v1::IpFamily> family = FamilyOf(options.family);
  if (!family.ok()) return session.Report("", family.status());
  request.set_family(*family);
  session.set_default_timeout(kPatience);
  return session.ForEachNode(absl::StrCat("probe ", options.target),
                             [&](Node& node) { return ProbeNode(node, session, request, options); });
}

void AddCommonArguments(const std::shared_ptr<Options>& options, Command* command) {
  command->arguments.push_back({"-W,--wait", "DURATION", "at most 30s; default 5s", &options->wait});
  command->arguments.push_back(SourceArgument(&options->source));
  AddFamilyArguments(&options->family, &command->arguments);
  command->arguments.push_back(OutputArgument(&options->output, {"table", "json", "yaml"}));
}

Command TcpCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "tcp";
  command.summary = "connects to a TCP port and ends the connection";
  command.arguments = {{"", "HOST:PORT", "[ADDRESS]:PORT for IPv6", &options->target, Presence::kRequired}};
  AddCommonArguments(options, &command);
  command.run = [options](Session& session) {
    ProbeRequest request;
    request.set_tcp(options->target);
    return Probe(session, request, *options);
  };
  return command;
}

Command HttpCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "http";
  command.summary = "asks a web server for its status line";
  command.description = "Of https it shows the certificate, which may be any. Redirects are not followed.";
  command.arguments = {
      {"", "URL", "http://… or https://…", &options->target, Presence::kRequired},
      {"--get", "", "ask with GET instead of HEAD", &options->get},
  };
  AddCommonArguments(options, &command);
  command.run = [options](Session& session) {
    ProbeRequest request;
    request.set_url(options->target);
    if (options->get) request.set_method(stele::machine::v1::PROBE_METHOD_GET);
    return Probe(session, request, *options);
  };
  return command;
}

}  // namespace

Command ProbeCommand() {
  Command command;
  command.name = "probe";
  command.summary = "tries a TCP port or a web server, seen from the nodes";
  command.description = "Exit code 1 when nothing answered. A web server answers with any status line.";
  command.subcommands = {TcpCommand(), HttpCommand()};
  return command;
}

}  // namespace stele::osctl
