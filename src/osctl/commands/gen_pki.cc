// osctl gen pki: the CAs, a node's certificate, and an administrator's.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/gen.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string directory;
  std::string name = "node";
  std::vector<std::string> san;
  ValidityOptions validity;
};

absl::Status Generate(const Options& options) {
  ASSIGN_OR_RETURN(KeyStore store, KeyStore::Open(options.directory));
  RETURN_IF_ERROR(GenerateServer(store, options.name, options.san, options.validity));
  ClientRequest admin;
  admin.name = "admin";
  admin.validity = options.validity;
  return GenerateClient(store, admin);
}

}  // namespace

absl::Status GenerateServer(const KeyStore& store, const std::string& name, const std::vector<std::string>& san,
                            const ValidityOptions& options) {
  // The CAs are ordinary whatever is asked of the leaf: an expired leaf must fail for itself.
  ASSIGN_OR_RETURN(Validity authority, ValidityOf({}, kAuthorityLifetime));
  ASSIGN_OR_RETURN(KeyPair server, store.Authority(kServerAuthority, "Stele server CA", authority));
  RETURN_IF_ERROR(store.Authority(kClientAuthority, "Stele client CA", authority).status());
  LeafRequest request;
  ASSIGN_OR_RETURN(request.validity, ValidityOf(options, kServerLifetime));
  request.common_name = name;
  request.usage = Usage::kServer;
  request.san = san;
  request.san.push_back(name);
  absl::StatusOr<KeyPair> leaf = MakeLeaf(server, request);
  if (!leaf.ok()) return WithExit(leaf.status(), ExitCode::kUsage);
  return store.Save(name, *leaf);
}

Command GenPkiCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "pki";
  command.summary = "makes the CAs, a node's certificate and an administrator's";
  command.description =
      "Writes server-ca, client-ca, NAME and admin, each as .crt and .key. CAs that are there are kept, so\n"
      "that another node joins them.";
  command.arguments = {
      {"-o,--out", "DIR", "where the files go", &options->directory, Presence::kRequired, Completion::kDirectory},
      {"--name", "NAME", "the node's name; also a name in its certificate; default node", &options->name},
      {"--san", "NAME", "an address or DNS name that the node is dialled by", &options->san},
  };
  AddValidityArguments(&options->validity, &command.arguments);
  command.run = [options](Session& session) {
    absl::Status status = Generate(*options);
    if (!status.ok()) return session.Report("", Annotate(status, "gen pki"));
    session.console().Err(absl::StrCat("wrote the keys to ", options->directory, "\n"));
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
