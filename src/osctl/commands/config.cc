// osctl config get|validate|apply, and osctl apply.
#include <unistd.h>

#include <memory>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ApplyConfigRequest;
using stele::machine::v1::ConfigProblem;
using stele::machine::v1::ValidateConfigRequest;

constexpr size_t kMaxConfig = 1 << 20;

struct FileOptions {
  std::string file;
  std::string mode = "auto";
  bool dry_run = false;
};

Argument FileArgument(std::string* file) {
  return {"-f,--file", "FILE", "the configuration; - is stdin", file, Presence::kRequired, Completion::kFile};
}

absl::StatusOr<std::string> ReadConfig(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path == "-" ? "/dev/stdin" : path, kMaxConfig);
  if (text.ok()) return text;
  return WithExit(text.status(), absl::IsResourceExhausted(text.status()) ? ExitCode::kInvalidConfig : ExitCode::kLocal,
                  absl::IsResourceExhausted(text.status()) ? "a configuration is at most 1 MiB" : "");
}

// Each problem on a line of its own, as compilers do, then what that means.
absl::Status Refused(Session& session, const Node& node, const std::string& file,
                     const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, session.Prefix(node), file, ":", line, "\n");
  session.console().Err(text);
  return Failure(
      absl::StatusCode::kInvalidArgument, ExitCode::kInvalidConfig,
      absl::StrCat(file, " has ", lines.size(), lines.size() == 1 ? " problem" : " problems", "; nothing was changed"),
      "mend it and try again");
}

std::string ProblemLine(const ConfigProblem& problem) {
  std::string line = problem.line() == 0 ? " " : absl::StrCat(problem.line(), ":", problem.column(), ": ");
  if (!problem.path().empty()) absl::StrAppend(&line, problem.path(), ": ");
  return absl::StrCat(line, problem.reason());
}

template <typename Lines>
void PrintPlan(Session& session, const Node& node, const Lines& plan) {
  std::string text;
  for (const std::string& line : plan) absl::StrAppend(&text, session.Prefix(node), line, "\n");
  session.console().Out(text);
}

absl::Status ValidateNode(Node& node, Session& session, const std::string& yaml, const std::string& file) {
  ValidateConfigRequest request;
  request.set_yaml(yaml);
  ASSIGN_OR_RETURN(auto response, node.Call(method::kValidateConfig, request));
  if (response.problems_size() > 0) {
    std::vector<std::string> lines;
    for (const ConfigProblem& problem : response.problems()) lines.push_back(ProblemLine(problem));
    return Refused(session, node, file, lines);
  }
  PrintPlan(session, node, response.plan());
  session.console().Err(absl::StrCat(session.Prefix(node), file, " is good\n"));
  return absl::OkStatus();
}

absl::Status ApplyNode(Node& node, Session& session, const std::string& yaml, const FileOptions& options) {
  ApplyConfigRequest request;
  request.set_yaml(yaml);
  request.set_mode(options.mode == "staged" ? stele::machine::v1::APPLY_MODE_STAGED
                                            : stele::machine::v1::APPLY_MODE_AUTO);
  request.set_validate_only(options.dry_run);
  auto response = node.Call(method::kApplyConfig, request);
  if (absl::IsInvalidArgument(response.status())) {
    return Refused(session, node, options.file, absl::StrSplit(response.status().message(), '\n', absl::SkipEmpty()));
  }
  RETURN_IF_ERROR(response.status());
  PrintPlan(session, node, response->plan());
  std::string done = options.dry_run            ? absl::StrCat(options.file, " would be applied")
                     : options.mode == "staged" ? absl::StrCat("staged as generation ", response->generation(),
                                                               "; it takes effect at the next boot")
                                                : absl::StrCat("applied as generation ", response->generation());
  session.console().Err(absl::StrCat(session.Prefix(node), done, "\n"));
  return absl::OkStatus();
}

absl::Status GetNode(Node& node, Session& session, const std::string& output) {
  ASSIGN_OR_RETURN(auto config, node.Call(method::kGetConfig, {}));
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
  Command command;
  command.name = "get";
  command.summary = "prints the running configuration, without its secrets";
  command.description = "json adds its generation, when it was applied, and where it came from.";
  command.arguments = {OutputArgument(output.get(), {"yaml", "json"})};
  command.run = [output](Session& session) {
    return session.ForEachNode("config get", [&](Node& node) { return GetNode(node, session, *output); });
  };
  return command;
}

Command ValidateConfig() {
  auto file = std::make_shared<std::string>();
  Command command;
  command.name = "validate";
  command.summary = "lets the node check a configuration, and prints what applying it would do";
  command.arguments = {FileArgument(file.get())};
  command.run = [file](Session& session) {
    absl::StatusOr<std::string> yaml = ReadConfig(*file);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "config validate"));
    return session.ForEachNode("config validate",
                               [&](Node& node) { return ValidateNode(node, session, *yaml, *file); });
  };
  return command;
}

}  // namespace

Command ApplyCommand() {
  auto options = std::make_shared<FileOptions>();
  Command command;
  command.name = "apply";
  command.summary = "gives the node a configuration";
  command.description = "What is wrong with it is printed as FILE:LINE:COLUMN: PATH: REASON; then nothing was changed.";
  command.arguments = {
      FileArgument(&options->file),
      {"--mode", "MODE", "auto: now; staged: at the next boot; default auto", &options->mode},
      {"--dry-run", "", "only checks it and prints what would be done", &options->dry_run},
  };
  command.arguments[1].choices = {"auto", "staged"};
  command.run = [options](Session& session) {
    absl::StatusOr<std::string> yaml = ReadConfig(options->file);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "apply"));
    return session.ForEachNode("apply", [&](Node& node) { return ApplyNode(node, session, *yaml, *options); });
  };
  return command;
}

Command ConfigCommand() {
  Command command;
  command.name = "config";
  command.summary = "shows, checks and applies the node's configuration";
  command.subcommands = {GetConfig(), ValidateConfig(), ApplyCommand()};
  return command;
}

}  // namespace stele::osctl
