// osctl gen node: everything that a new node and its administrator need, in one directory.
#include <memory>

#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/gen.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string name;
  std::string directory;
  std::vector<std::string> san;
  std::vector<std::string> endpoints;
  ValidityOptions validity;
  NodeConfigOptions config;
};

stele::config::v1::ClientContext ContextFor(const Options& options) {
  stele::config::v1::ClientContext context;
  context.set_name(options.name);
  if (options.endpoints.empty()) {
    context.add_endpoints(options.san.empty() ? options.name : options.san.front());
  }
  for (const std::string& endpoint : options.endpoints) context.add_endpoints(endpoint);
  // Beside the context file, so that the directory can be moved as a whole.
  context.set_ca(absl::StrCat(kServerAuthority, ".crt"));
  context.set_certificate("admin.crt");
  context.set_key("admin.key");
  return context;
}

absl::Status Generate(const Options& options) {
  ASSIGN_OR_RETURN(KeyStore store, KeyStore::Open(options.directory));
  RETURN_IF_ERROR(GenerateServer(store, options.name, options.san, options.validity));
  ClientRequest admin;
  admin.name = "admin";
  admin.validity = options.validity;
  RETURN_IF_ERROR(GenerateClient(store, admin));
  ASSIGN_OR_RETURN(std::string yaml, NodeConfigYaml(store, options.name, options.config));
  // It holds the node's key.
  absl::Status written = ReplaceFile(absl::StrCat(options.directory, "/", options.name, ".yaml"), yaml, 0600);
  if (!written.ok()) return WithExit(written, ExitCode::kLocal);
  std::string context_path = absl::StrCat(options.directory, "/osctl.yaml");
  ASSIGN_OR_RETURN(auto contexts, LoadContexts(context_path));
  PutContext(&contexts, ContextFor(options));
  return SaveContexts(context_path, contexts);
}

}  // namespace

Command GenNodeCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "node";
  command.summary = "makes all that a new node needs: keys, its configuration, a context for osctl";
  command.description =
      "Writes to DIR: the keys of `osctl gen pki`, NAME.yaml for the node, and osctl.yaml with a context NAME.\n"
      "CAs that are there are kept, so that another node joins them; NAME's certificate and the administrator's are "
      "made anew.\n"
      "What they take the place of stays good until it ends or is revoked.";
  command.arguments = {
      {"", "NAME", "the node's name", &options->name, Presence::kRequired},
      {"-o,--out", "DIR", "where the files go", &options->directory, Presence::kRequired, Completion::kDirectory},
      {"--san", "NAME", "an address or DNS name that the node is dialled by", &options->san},
      {"--endpoint", "HOST[:PORT]", "where the context finds the node; default: the first --san", &options->endpoints},
  };
  AddNodeConfigArguments(&options->config, &command.arguments);
  AddValidityArguments(&options->validity, &command.arguments);
  command.run = [options](Session& session) {
    absl::Status status = Generate(*options);
    if (!status.ok()) return session.Report("", Annotate(status, "gen node"));
    session.console().Err(absl::StrCat("wrote ", options->directory, "/", options->name,
                                       ".yaml for the node\nuse OSCTLCONFIG=", options->directory,
                                       "/osctl.yaml and --context ", options->name, " to manage it\n"));
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
