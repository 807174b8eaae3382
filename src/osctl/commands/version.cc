// osctl version: what runs here, and on the nodes.
#include <map>
#include <memory>

#include "base/build_version.h"
#include "osctl/commands/commands.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ComponentVersion;
using stele::machine::v1::VersionResponse;

struct Options {
  std::string output = "table";
  bool client = false;
};

Value ClientValue() {
  return Value::Map().Add("version", Value::String(kBuildVersion)).Add("commit", Value::String(kBuildCommit));
}

void AddRows(const std::string& node, const VersionResponse& version, Table* table) {
  table->AddRow({node, "stele", version.stele()});
  table->AddRow({node, "kernel", version.kernel()});
  for (const ComponentVersion& component : version.components()) {
    table->AddRow({node, component.name(), component.version()});
  }
}

std::string Render(const std::map<std::string, VersionResponse>& versions, const Options& options) {
  if (IsStructured(options.output)) {
    Value nodes = Value::List();
    for (const auto& [name, version] : versions) {
      Value node = Value::Map();
      node.Add("node", Value::String(name));
      Value fields = FromProto(version);
      for (const auto& [key, value] : fields.items()) node.Add(key, value);
      nodes.Append(std::move(node));
    }
    Value all = Value::Map();
    all.Add("client", ClientValue());
    if (!options.client) all.Add("nodes", std::move(nodes));
    return Structured(all, options.output);
  }
  Table table({"NODE", "COMPONENT", "VERSION"});
  table.AddRow({"(here)", "osctl", kBuildVersion});
  for (const auto& [name, version] : versions) AddRows(name, version, &table);
  return table.Render();
}

ExitCode Version(Session& session, const Options& options) {
  std::map<std::string, VersionResponse> versions;
  ExitCode code = ExitCode::kOk;
  if (!options.client) {
    std::mutex mutex;
    code = session.ForEachNode("version", [&](Node& node) -> absl::Status {
      ASSIGN_OR_RETURN(VersionResponse version, node.Call(method::kVersion, {}));
      std::lock_guard<std::mutex> lock(mutex);
      versions[node.name()] = std::move(version);
      return absl::OkStatus();
    });
    if (versions.empty()) return code;
  }
  session.console().Out(Render(versions, options));
  return code;
}

}  // namespace

Command VersionCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "version";
  command.summary = "shows the version of osctl and of every component of the nodes";
  command.arguments = {
      {"--client", "", "only osctl's own version; asks no node", &options->client},
      OutputArgument(&options->output, {"table", "json", "yaml"}),
  };
  command.run = [options](Session& session) { return Version(session, *options); };
  return command;
}

}  // namespace stele::osctl
