// osctl completion: scripts for the shells, and `osctl __complete`, which they ask on each Tab.
#include "osctl/completion.h"

#include <memory>

#include "absl/strings/match.h"
#include "osctl/commands/commands.h"
#include "osctl/output/resource.h"
#include "osctl/parse.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

// The shell hands over every word up to the cursor; __complete answers one candidate a line, or
// ":file" or ":directory" for what the shell itself knows best.
constexpr char kBash[] = R"(# bash completion of osctl: source <(osctl completion bash)
_osctl() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}") out cur="${COMP_WORDS[COMP_CWORD]}"
  mapfile -t out < <("${COMP_WORDS[0]}" __complete "${words[@]}" 2>/dev/null)
  case "${out[0]}" in
    :file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); compopt -o filenames ;;
    :directory) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); compopt -o filenames ;;
    */*/) COMPREPLY=("${out[@]}"); [[ ${#out[@]} == 1 ]] && compopt -o nospace ;;
    *) COMPREPLY=("${out[@]}") ;;
  esac
}
complete -F _osctl osctl
)";
constexpr char kZsh[] = R"(#compdef osctl
# zsh completion of osctl: source <(osctl completion zsh)
_osctl() {
  local -a out
  out=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  case "${out[1]}" in
    :file) _files ;;
    :directory) _files -/ ;;
    *) compadd -S '' -- ${(M)out:#*/}; compadd -- ${${out:#*/}:#} ;;
  esac
}
compdef _osctl osctl
)";
constexpr char kFish[] = R"(# fish completion of osctl: osctl completion fish | source
function __osctl_complete
  set -l words (commandline -opc)[2..] (commandline -ct)
  set -l out (osctl __complete $words 2>/dev/null)
  switch "$out[1]"
    case :file
      __fish_complete_path (commandline -ct)
    case :directory
      __fish_complete_directories (commandline -ct)
    case '*'
      printf '%s\n' $out
  end
end
complete -c osctl -f -a '(__osctl_complete)'
)";

std::vector<std::string> ResourceIds(Session& session, const std::string& type_name) {
  std::vector<std::string> ids;
  absl::StatusOr<std::unique_ptr<Node>> node = session.FirstNode();
  if (!node.ok()) return ids;
  const ResourceType* type = FindResourceType(type_name);
  stele::machine::v1::ListRequest request;
  request.set_type(type == nullptr ? type_name : type->name);
  auto list = (*node)->Call(method::kList, request);
  if (!list.ok()) return ids;  // a node that does not answer completes nothing
  for (const auto& resource : list->resources()) ids.push_back(resource.id());
  return ids;
}

void AddContexts(Session& session, bool endpoints, std::vector<std::string>* out) {
  absl::StatusOr<std::string> path = ContextPath(session.getenv());
  if (!path.ok()) return;
  absl::StatusOr<stele::config::v1::ClientConfig> config = LoadContexts(*path);
  if (!config.ok()) return;
  if (endpoints) out->push_back("all");
  for (const auto& context : config->contexts()) {
    if (!endpoints) out->push_back(context.name());
    if (!endpoints) continue;
    out->insert(out->end(), context.endpoints().begin(), context.endpoints().end());
    for (const auto& node : context.nodes()) out->push_back(node.name());
    for (const auto& group : context.classes()) out->push_back(absl::StrCat("@", group.name()));
  }
}

// The node's files whose paths begin with `last`: directories with a slash at their end.
std::vector<std::string> NodeFiles(Session& session, const std::string& last) {
  std::vector<std::string> paths;
  absl::StatusOr<std::unique_ptr<Node>> node = session.FirstNode();
  if (!node.ok()) return paths;
  stele::machine::v1::ListFilesRequest request;
  request.set_path(absl::StrCat("/", last.substr(0, last.rfind('/') + 1)));
  (*node)->set_stream_limit(session.call_timeout());
  (*node)
      ->Stream<stele::machine::v1::ListFilesRequest, stele::machine::v1::ListFilesResponse>(
          method::kListFiles, request,
          [&](const stele::machine::v1::ListFilesResponse& response) {
            for (const auto& entry : response.entries()) {
              bool directory = entry.kind() == stele::machine::v1::FILE_KIND_DIRECTORY;
              paths.push_back(absl::StrCat(entry.path(), directory ? "/" : ""));
            }
            return absl::OkStatus();
          })
      .IgnoreError();  // a node that does not answer completes nothing
  return paths;
}

std::vector<std::string> Candidates(Session& session, const CompletionQuestion& question, const std::string& last) {
  std::vector<std::string> all = question.candidates;
  switch (question.kind) {
    case Completion::kNone:
      break;
    case Completion::kFile:
      return {":file"};
    case Completion::kDirectory:
      return {":directory"};
    case Completion::kContext:
      AddContexts(session, false, &all);
      break;
    case Completion::kNode:
      AddContexts(session, true, &all);
      break;
    case Completion::kResourceType:
      for (const ResourceType& type : ResourceTypes()) all.push_back(type.name);
      break;
    case Completion::kResourceId:
      if (!question.positionals.empty()) all = ResourceIds(session, question.positionals.front());
      break;
    case Completion::kNodeFile:
      all = NodeFiles(session, last);
      break;
    case Completion::kService:
      all = ResourceIds(session, "services");
      break;
  }
  return all;
}

}  // namespace

ExitCode Complete(Session& session, GlobalOptions* options, const std::vector<std::string>& words) {
  // -n and --context of the line count for what the node is asked; whatever else is wrong with a line
  // that is still being written does not matter.
  std::vector<std::string> before(words.begin(), words.empty() ? words.end() : words.end() - 1);
  Parse(session.root(), before).status().IgnoreError();
  options->timeout = absl::Seconds(1);  // a person waits with a finger on Tab
  std::string last = words.empty() ? "" : words.back();
  if (size_t equals = last.find('='); absl::StartsWith(last, "--") && equals != std::string::npos) {
    last = last.substr(equals + 1);
  }
  std::string out;
  for (const std::string& candidate : Candidates(session, WhatFits(session.root(), words), last)) {
    if (candidate[0] == ':' || absl::StartsWith(candidate, last)) absl::StrAppend(&out, candidate, "\n");
  }
  session.console().Out(out);
  return ExitCode::kOk;
}

Command CompletionCommand() {
  auto shell = std::make_shared<std::string>();
  Command command;
  command.name = "completion";
  command.summary = "prints a shell's completion script";
  command.description =
      "bash: source <(osctl completion bash)\nzsh:  source <(osctl completion zsh)\n"
      "fish: osctl completion fish | source";
  command.arguments = {{"", "SHELL", "bash, zsh or fish", shell.get(), Presence::kRequired}};
  command.arguments[0].choices = {"bash", "zsh", "fish"};
  command.run = [shell](Session& session) {
    session.console().Out(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish);
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
