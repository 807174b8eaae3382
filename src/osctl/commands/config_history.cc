// osctl config history|diff|confirm|revert: the configurations that a node keeps.
#include <map>
#include <memory>

#include "absl/time/clock.h"
#include "osctl/commands/config.h"
#include "osctl/output/format.h"
#include "osctl/output/resource.h"
#include "osctl/output/table.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ConfigGeneration;
using stele::machine::v1::ConfigHistoryResponse;
using stele::machine::v1::DiffConfigRequest;

std::string StateText(const ConfigGeneration& generation) {
  const auto* value = stele::machine::v1::ConfigGenerationState_descriptor()->FindValueByNumber(generation.state());
  std::string text = value == nullptr ? "" : EnumText(value);
  return generation.last_good() ? absl::StrCat(text, ", last good") : text;
}

std::string MessageText(const ConfigGeneration& generation) {
  if (!generation.has_try_deadline()) return generation.message();
  return absl::StrCat("until ", Rfc3339(absl::FromUnixSeconds(generation.try_deadline().seconds())),
                      " unless confirmed");
}

void AddRows(const std::string& node, const ConfigHistoryResponse& history, bool several, Table* table) {
  for (const ConfigGeneration& generation : history.generations()) {
    std::vector<std::string> cells = {
        generation.generation() == 0 ? "" : absl::StrCat(generation.generation()),
        StateText(generation),
        generation.source(),
        Rfc3339(absl::FromUnixSeconds(generation.applied().seconds())),
        generation.applied_by(),
        generation.sha256().substr(0, 12),
        MessageText(generation),
    };
    if (several) cells.insert(cells.begin(), node);
    table->AddRow(std::move(cells));
  }
}

std::string Render(const std::map<std::string, ConfigHistoryResponse>& histories, bool several,
                   const std::string& output) {
  if (!IsStructured(output)) {
    std::vector<std::string> headers = {"GENERATION", "STATE", "SOURCE", "APPLIED", "BY", "SHA256", "MESSAGE"};
    if (several) headers.insert(headers.begin(), "NODE");
    Table table(headers);
    for (const auto& [node, history] : histories) AddRows(node, history, several, &table);
    return table.Render();
  }
  Value items = Value::List();
  for (const auto& [node, history] : histories) {
    for (const ConfigGeneration& generation : history.generations()) {
      Value item = Value::Map();
      if (several) item.Add("node", Value::String(node));
      Value fields = FromProto(generation);
      for (const auto& [key, value] : fields.items()) item.Add(key, value);
      items.Append(std::move(item));
    }
  }
  return Structured(Value::Map().Add("items", std::move(items)), output);
}

ExitCode History(Session& session, const std::string& output) {
  std::mutex mutex;
  std::map<std::string, ConfigHistoryResponse> histories;
  bool several = false;
  ExitCode code = session.ForEachNode("config history", [&](Node& node) -> absl::Status {
    ASSIGN_OR_RETURN(ConfigHistoryResponse history, node.Call(method::kConfigHistory, {}));
    std::lock_guard<std::mutex> lock(mutex);
    several = session.several_nodes();
    histories[node.name()] = std::move(history);
    return absl::OkStatus();
  });
  if (!histories.empty()) session.console().Out(Render(histories, several, output));
  return code;
}

struct DiffOptions {
  std::string file;
  uint32_t from = 0, to = 0;
};

absl::Status DiffNode(Node& node, Session& session, const DiffConfigRequest& request, const std::string& file) {
  auto response = node.Call(method::kDiffConfig, request);
  if (!response.ok()) return ConfigCallFailure(session, node, file, response.status());
  if (session.several_nodes()) session.console().Out(absl::StrCat("=== ", node.name(), "\n"));
  session.console().Out(response->diff());
  if (response->diff().empty()) session.Tell(node, "nothing differs");
  return absl::OkStatus();
}

ExitCode Diff(Session& session, const DiffOptions& options) {
  DiffConfigRequest request;
  request.set_from_generation(options.from);
  request.set_to_generation(options.to);
  if (options.file.empty() == (options.from == 0 && options.to == 0)) {
    return session.Report("", UsageError("config diff: give either -f, or --from, --to or both"));
  }
  if (!options.file.empty()) {
    absl::StatusOr<std::string> yaml = ReadConfigFile(options.file);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "config diff"));
    request.set_yaml(*yaml);
  }
  return session.ForEachNode("config diff", [&](Node& node) { return DiffNode(node, session, request, options.file); });
}

absl::Status ConfirmNode(Node& node, Session& session, uint32_t generation) {
  stele::machine::v1::ConfirmConfigRequest request;
  request.set_generation(generation);
  RETURN_IF_ERROR(node.Call(method::kConfirmConfig, request).status());
  session.Tell(node, absl::StrCat("generation ", generation, " stays"));
  return absl::OkStatus();
}

absl::Status RevertNode(Node& node, Session& session, uint32_t generation) {
  stele::machine::v1::RevertConfigRequest request;
  request.set_generation(generation);
  ASSIGN_OR_RETURN(auto response, node.Call(method::kRevertConfig, request));
  PrintConfigPlan(session, node, {response.plan().begin(), response.plan().end()});
  std::string runs =
      response.generation() == 0 ? std::string("the seed") : absl::StrCat("generation ", response.generation());
  session.Tell(node, generation == 0 ? absl::StrCat("the trial is over: ", runs, " runs again")
                                     : absl::StrCat("generation ", generation, " runs again, as ", runs));
  return absl::OkStatus();
}

}  // namespace

Command ConfigHistoryCommand() {
  auto output = std::make_shared<std::string>("table");
  Command command;
  command.name = "history";
  command.summary = "lists the configurations that the node keeps, newest first";
  command.description =
      "Kept is what was applied, Reverted what was on trial and not confirmed, Failed what broke three boots in a "
      "row.\n"
      "The last good one is what a node goes back to then: the newest with which all of it was healthy.";
  command.arguments = {OutputArgument(output.get(), {"table", "json", "yaml"})};
  command.run = [output](Session& session) { return History(session, *output); };
  return command;
}

Command ConfigDiffCommand() {
  auto options = std::make_shared<DiffOptions>();
  Command command;
  command.name = "diff";
  command.summary = "compares a file, or a generation, with the running configuration, or two generations";
  command.description = "Without comments and secrets; a secret that differs says (secret, changed).";
  command.arguments = {
      {"-f,--file", "FILE", "what the running configuration would become; - is stdin", &options->file,
       Presence::kOptional, Completion::kFile},
      {"--from", "N", "the older generation; default: the running one", &options->from},
      {"--to", "N", "the newer generation; default: the running one", &options->to},
  };
  command.run = [options](Session& session) { return Diff(session, *options); };
  return command;
}

Command ConfirmConfigCommand() {
  auto generation = std::make_shared<uint32_t>(0);
  Command command;
  command.name = "confirm";
  command.summary = "keeps the configuration that is on trial";
  command.arguments = {
      {"", "GENERATION", "as `osctl apply --mode try` told it", generation.get(), Presence::kRequired}};
  command.run = [generation](Session& session) {
    return session.ForEachNode("config confirm", [&](Node& node) { return ConfirmNode(node, session, *generation); });
  };
  return command;
}

Command RevertConfigCommand() {
  auto generation = std::make_shared<uint32_t>(0);
  Command command;
  command.name = "revert";
  command.summary = "ends a trial at once, or goes back to a generation";
  command.description = "What it goes back to gets a new number; `osctl config history` lists what there is.";
  command.arguments = {{"", "GENERATION", "the one to go back to; without it the trial ends", generation.get()}};
  command.run = [generation](Session& session) {
    return session.ForEachNode("config revert", [&](Node& node) { return RevertNode(node, session, *generation); });
  };
  return command;
}

}  // namespace stele::osctl
