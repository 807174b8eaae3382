// osctl patch: changes a part of the configuration.
#include <memory>

#include "osctl/commands/config.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::PatchConfigRequest;

struct Options {
  std::string file;
  std::string text;
  std::string type = "merge";
  ConfigChangeOptions change;
};

absl::Status PatchNode(Node& node, Session& session, const PatchConfigRequest& request, const std::string& name,
                       const ConfigChangeOptions& change) {
  auto response = node.Call(method::kPatchConfig, request);
  if (!response.ok()) return ConfigCallFailure(session, node, name, response.status());
  TellConfigChange(session, node, name, change, *response);
  return absl::OkStatus();
}

ExitCode Patch(Session& session, const Options& options) {
  if (options.file.empty() == options.text.empty()) {
    return session.Report("", UsageError("patch: give either -f or -p"));
  }
  PatchConfigRequest request;
  request.set_patch(options.text);
  request.set_type(options.type == "json" ? stele::machine::v1::PATCH_TYPE_JSON : stele::machine::v1::PATCH_TYPE_MERGE);
  SetConfigChange(session, options.change, &request);
  if (!options.file.empty()) {
    absl::StatusOr<std::string> patch = ReadConfigFile(options.file);
    if (!patch.ok()) return session.Report("", Annotate(patch.status(), "patch"));
    request.set_patch(*patch);
  }
  std::string name = options.file.empty() ? "patch" : options.file;
  return session.ForEachNode("patch",
                             [&](Node& node) { return PatchNode(node, session, request, name, options.change); });
}

}  // namespace

Command PatchCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "patch";
  command.summary = "changes a part of the node's configuration";
  command.description =
      "The node patches what runs, secrets excepted, and checks and applies the result. Its text's comments are lost.\n"
      "merge (RFC 7386): osctl patch -p '{network: {hostname: worker-1}}'; null removes a key, a list is replaced "
      "whole\n"
      "json (RFC 6902):  osctl patch --type json -p '[{op: add, path: /time/servers/-, value: 192.0.2.1}]'";
  command.arguments = {
      {"-f,--file", "FILE", "the patch, JSON or YAML; - is stdin", &options->file, Presence::kOptional,
       Completion::kFile},
      {"-p,--patch", "TEXT", "the patch itself", &options->text},
      {"--type", "TYPE", "merge or json; default merge", &options->type},
  };
  command.arguments[2].choices = {"merge", "json"};
  for (Argument& argument : ConfigChangeArguments(&options->change)) command.arguments.push_back(std::move(argument));
  command.run = [options](Session& session) { return Patch(session, *options); };
  return command;
}

}  // namespace stele::osctl
