// osctl gen client: a client's certificate with a role.
#include <memory>

#include "absl/strings/ascii.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/gen.h"
#include "osctl/failure.h"
#include "osctl/session.h"
#include "stele/machine/v1/options.pb.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string directory;
  ClientRequest request;
};

// reader, operator, admin: the values of the Role enum.
std::vector<std::string> RoleNames() {
  std::vector<std::string> names;
  const auto* roles = stele::machine::v1::Role_descriptor();
  for (int i = 1; i < roles->value_count(); ++i) {
    names.push_back(absl::AsciiStrToLower(roles->value(i)->name().substr(sizeof "ROLE_" - 1)));
  }
  return names;
}

Usage UsageOf(const std::string& name) {
  if (name == "server") return Usage::kServer;
  if (name == "both") return Usage::kBoth;
  if (name == "none") return Usage::kNone;
  return Usage::kClient;
}

absl::Status Generate(const Options& options) {
  ASSIGN_OR_RETURN(KeyStore store, KeyStore::Open(options.directory));
  return GenerateClient(store, options.request);
}

}  // namespace

absl::Status GenerateClient(const KeyStore& store, const ClientRequest& request) {
  ASSIGN_OR_RETURN(KeyPair authority, store.Load(kClientAuthority));
  LeafRequest leaf;
  ASSIGN_OR_RETURN(leaf.validity, ValidityOf(request.validity, kClientLifetime));
  leaf.common_name = request.name.empty() ? request.role : request.name;
  leaf.organization = request.role;
  leaf.usage = UsageOf(request.usage);
  ASSIGN_OR_RETURN(KeyPair pair, MakeLeaf(authority, leaf));
  return store.Save(leaf.common_name, pair);
}

Command GenClientCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "client";
  command.summary = "makes a client's certificate";
  command.description = "Signed by the client-ca in DIR; written there as NAME.crt and NAME.key.";
  command.arguments = {
      {"-o,--out", "DIR", "the directory of `osctl gen pki`", &options->directory, Presence::kRequired,
       Completion::kDirectory},
      {"--role", "ROLE", "what it may do: reader, operator or admin; default admin. Others: osctl cert issue",
       &options->request.role},
      {"--name", "NAME", "who it is; default: the role", &options->request.name},
      {"--usage", "USAGE", "client, server, both or none; nodes take client only, the others are for tests",
       &options->request.usage},
  };
  command.arguments[1].choices = RoleNames();
  command.arguments[3].choices = {"client", "server", "both", "none"};
  AddValidityArguments(&options->request.validity, &command.arguments);
  command.run = [options](Session& session) {
    absl::Status status = Generate(*options);
    if (!status.ok()) return session.Report("", Annotate(status, "gen client"));
    const ClientRequest& request = options->request;
    session.console().Err(absl::StrCat("wrote ", options->directory, "/",
                                       request.name.empty() ? request.role : request.name, ".{crt,key}\n"));
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
