// osctl config get|validate|apply, and osctl apply; what they share with their neighbours.
#include "osctl/commands/config.h"

#include <memory>

#include "base/file.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ApplyConfigRequest;
using stele::machine::v1::ConfigProblem;
using stele::machine::v1::ValidateConfigRequest;

constexpr size_t kMaxConfig = 1 << 20;

std::string ProblemLine(const ConfigProblem& problem) {
  std::string line = problem.line() == 0 ? " " : absl::StrCat(problem.line(), ":", problem.column(), ": ");
  if (!problem.path().empty()) absl::StrAppend(&line, problem.path(), ": ");
  return absl::StrCat(line, problem.reason());
}

absl::Status ValidateNode(Node& node, Session& session, const std::string& yaml, const std::string& file) {
  ValidateConfigRequest request;
  request.set_yaml(yaml);
  ASSIGN_OR_RETURN(auto response, node.Call(method::kValidateConfig, request));
  if (response.problems_size() > 0) {
    std::vector<std::string> lines;
    for (const ConfigProblem& problem : response.problems()) lines.push_back(ProblemLine(problem));
    return RefusedConfig(session, node, file, lines);
  }
  PrintConfigPlan(session, node, {response.plan().begin(), response.plan().end()});
  session.console().Err(absl::StrCat(session.Prefix(node), file, " is good\n"));
  return absl::OkStatus();
}

absl::Status ApplyNode(Node& node, Session& session, const std::string& yaml, const std::string& file,
                       const ConfigChangeOptions& options) {
  ApplyConfigRequest request;
  request.set_yaml(yaml);
  SetConfigChange(session, options, &request);
  auto response = node.Call(method::kApplyConfig, request);
  if (!response.ok()) return ConfigCallFailure(session, node, file, response.status());
  TellConfigChange(session, node, file, options, *response);
  return absl::OkStatus();
}

absl::Status GetNode(Node& node, Session& session, const std::string& output, uint32_t generation) {
  stele::machine::v1::GetConfigRequest request;
  request.set_generation(generation);
  ASSIGN_OR_RETURN(auto config, node.Call(method::kGetConfig, request));
  if (output == "yaml") {
    if (session.several_nodes()) session.console().Out(absl::StrCat("--- # ", node.name(), "\n"));
    session.console().Out(config.yaml());
    return absl::OkStatus();
  }
  Value value = Value::Map();
  if (session.several_nodes()) value.Add("node", Value::String(node.name()));
  value.Add("generation", Value::String(absl::StrCat(config.generation())));
  if (config.has_applied()) value.Add("applied", FromProto(config.applied()));
  value.Add("source", Value::String(config.source()));
  value.Add("yaml", Value::String(config.yaml()));  // as text: base64 would help nobody
  session.console().Out(ToJson(value, session.several_nodes() ? Layout::kOneLine : Layout::kIndented));
  return absl::OkStatus();
}

Command GetConfig() {
  auto output = std::make_shared<std::string>("yaml");
  auto generation = std::make_shared<uint32_t>(0);
  Command command;
  command.name = "get";
  command.summary = "prints the running configuration, or that of a generation, without its secrets";
  command.description = "json adds its generation, when it was applied, and where it came from.";
  command.arguments = {
      {"--generation", "N", "another than the running one: see `osctl config history`", generation.get()},
      OutputArgument(output.get(), {"yaml", "json"})};
  command.run = [output, generation](Session& session) {
    return session.ForEachNode("config get", [&](Node& node) { return GetNode(node, session, *output, *generation); });
  };
  return command;
}

Command ValidateConfig() {
  auto file = std::make_shared<std::string>();
  Command command;
  command.name = "validate";
  command.summary = "lets the node check a configuration, and prints what applying it would do";
  command.arguments = {ConfigFileArgument(file.get())};
  command.run = [file](Session& session) {
    absl::StatusOr<std::string> yaml = ReadConfigFile(*file);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "config validate"));
    return session.ForEachNode("config validate",
                               [&](Node& node) { return ValidateNode(node, session, *yaml, *file); });
  };
  return command;
}

}  // namespace

Argument ConfigFileArgument(std::string* file) {
  return {"-f,--file", "FILE", "the configuration; - is stdin", file, Presence::kRequired, Completion::kFile};
}

absl::StatusOr<std::string> ReadConfigFile(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path == "-" ? "/dev/stdin" : path, kMaxConfig);
  if (text.ok()) return text;
  return WithExit(text.status(), absl::IsResourceExhausted(text.status()) ? ExitCode::kInvalidConfig : ExitCode::kLocal,
                  absl::IsResourceExhausted(text.status()) ? "a configuration is at most 1 MiB" : "");
}

absl::Status RefusedConfig(Session& session, const Node& node, const std::string& file,
                           const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, session.Prefix(node), file, ":", line, "\n");
  session.console().Err(text);
  return Failure(
      absl::StatusCode::kInvalidArgument, ExitCode::kInvalidConfig,
      absl::StrCat(file, " has ", lines.size(), lines.size() == 1 ? " problem" : " problems", "; nothing was changed"),
      "mend it and try again");
}

std::vector<Argument> ConfigChangeArguments(ConfigChangeOptions* options) {
  std::vector<Argument> arguments = {
      {"--mode", "MODE",
       "auto: now; staged: at the next boot; try: now, and unless `osctl config confirm` keeps it, back after "
       "--timeout "
       "(60s); default auto",
       &options->mode},
      {"--dry-run", "", "only checks it and prints what would be done", &options->dry_run},
  };
  arguments[0].choices = {"auto", "staged", "try"};
  return arguments;
}

void PrintConfigPlan(Session& session, const Node& node, const std::vector<std::string>& plan) {
  std::string text;
  for (const std::string& line : plan) absl::StrAppend(&text, session.Prefix(node), line, "\n");
  session.console().Out(text);
}

Command ApplyCommand() {
  auto options = std::make_shared<ConfigChangeOptions>();
  auto file = std::make_shared<std::string>();
  Command command;
  command.name = "apply";
  command.summary = "gives the node a configuration";
  command.description =
      "What is wrong with it is printed as FILE:LINE:COLUMN: PATH: REASON; then nothing was changed.\n"
      "A secret that says (secret), as `osctl config get` shows it, stays what it is on the node.";
  command.arguments = {ConfigFileArgument(file.get())};
  for (Argument& argument : ConfigChangeArguments(options.get())) command.arguments.push_back(std::move(argument));
  command.run = [options, file](Session& session) {
    absl::StatusOr<std::string> yaml = ReadConfigFile(*file);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "apply"));
    return session.ForEachNode("apply", [&](Node& node) { return ApplyNode(node, session, *yaml, *file, *options); });
  };
  return command;
}

Command ConfigCommand() {
  Command command;
  command.name = "config";
  command.summary = "shows, checks, compares and changes the node's configuration";
  command.subcommands = {GetConfig(),           ConfigHistoryCommand(), ConfigDiffCommand(),
                         ValidateConfig(),      ApplyCommand(),         ConfirmConfigCommand(),
                         RevertConfigCommand(), PatchCommand(),         EditCommand()};
  return command;
}

}  // namespace stele::osctl
