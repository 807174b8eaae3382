// osctl cert: clients' certificates. Issuing speaks to no node: the client CA's key is where `osctl gen` left it, and
// on no node. Revoking tells every node that is named.
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "config/check_name.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/gen.h"
#include "osctl/commands/get.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::RevokeCertificateRequest;

constexpr absl::Duration kIssuedLifetime = absl::Hours(24);

struct IssueOptions {
  std::string directory;
  std::string role;
  std::string name;
  absl::Duration ttl = kIssuedLifetime;
};

absl::StatusOr<CertificateInfo> Issue(const IssueOptions& options) {
  if (options.ttl <= absl::ZeroDuration()) return UsageError("--ttl: expected a time, such as 12h");
  ASSIGN_OR_RETURN(KeyStore store, KeyStore::Open(options.directory));
  ClientRequest request;
  request.role = options.role;
  request.name = options.name.empty() ? options.role : options.name;
  request.validity.valid_for = options.ttl;
  RETURN_IF_ERROR(GenerateClient(store, request));
  ASSIGN_OR_RETURN(std::string pem, store.LoadCertificate(request.name));
  return ReadCertificate(pem);
}

Command IssueCommand() {
  auto options = std::make_shared<IssueOptions>();
  Command command;
  command.name = "issue";
  command.summary = "makes a client's certificate that ends soon";
  command.description =
      "Signed by the client-ca in DIR; written there as NAME.crt and NAME.key. Nodes are not asked.\n"
      "  osctl cert issue --role updater --ttl 12h --name ci-4711 -o keys";
  command.arguments = {
      {"-o,--out", "DIR", "the directory of `osctl gen pki`", &options->directory, Presence::kRequired,
       Completion::kDirectory},
      {"--role",
       "ROLE",
       "reader, operator, admin, updater, backup, or one of the nodes' configuration",
       &options->role,
       Presence::kRequired,
       Completion::kNone,
       {},
       config::CheckDnsLabel},
      {"--ttl", "DURATION", "how long it holds; default 24h", &options->ttl},
      {"--name", "NAME", "who it is; default: the role", &options->name},
  };
  command.run = [options](Session& session) {
    absl::StatusOr<CertificateInfo> made = Issue(*options);
    if (!made.ok()) return session.Report("", Annotate(made.status(), "cert issue"));
    session.console().Err(absl::StrCat("wrote ", options->directory, "/", made->common_name, ".{crt,key}, serial ",
                                       made->serial, ", good until ", Rfc3339(made->validity.not_after), "\n"));
    return ExitCode::kOk;
  };
  return command;
}

struct RevokeOptions {
  std::string certificate;
  std::string reason;
};

// A certificate's file, or a serial number.
absl::StatusOr<RevokeCertificateRequest> RequestOf(const RevokeOptions& options) {
  RevokeCertificateRequest request;
  request.set_reason(options.reason);
  if (::access(options.certificate.c_str(), F_OK) != 0) {
    // No certificate's file is named by such digits alone.
    if (options.certificate.find_first_not_of("0123456789abcdefABCDEF:") != std::string::npos) {
      return UsageError(absl::StrCat(options.certificate, " is neither a file nor a serial number"));
    }
    request.set_serial(options.certificate);
    return request;
  }
  ASSIGN_OR_RETURN(std::string pem, ReadFile(options.certificate));
  ASSIGN_OR_RETURN(CertificateInfo info, ReadCertificate(pem));
  request.set_serial(info.serial);
  request.set_subject(info.common_name.substr(0, 200));
  request.mutable_not_after()->set_seconds(absl::ToUnixSeconds(info.validity.not_after));
  return request;
}

Command RevokeCommand() {
  auto options = std::make_shared<RevokeOptions>();
  Command command;
  command.name = "revoke";
  command.summary = "takes a client's certificate no more, at once and for good";
  command.description =
      "Its connections end with what runs on them. Each node has a list of its own: -n all.\n"
      "  osctl -n all cert revoke keys/alice.crt --reason 'laptop lost'\n"
      "  osctl -n all cert revoke 5f0c…        a serial number, as `osctl audit` shows it";
  command.arguments = {
      {"", "CERTIFICATE", "its file, or its serial number", &options->certificate, Presence::kRequired,
       Completion::kFile},
      {"--reason", "TEXT", "why; shown by `osctl cert list`", &options->reason},
  };
  command.run = [options](Session& session) {
    absl::StatusOr<RevokeCertificateRequest> request = RequestOf(*options);
    if (!request.ok()) return session.Report("", Annotate(request.status(), "cert revoke"));
    return session.ForEachNode("cert revoke", [&](Node& node) -> absl::Status {
      ASSIGN_OR_RETURN(auto response, node.Call(method::kRevokeCertificate, *request));
      session.Tell(node, response.already() ? "was revoked before" : "revoked");
      if (response.until_reboot()) {
        session.Tell(node, "warning: the node has no state partition, and forgets this when it reboots");
      }
      return absl::OkStatus();
    });
  };
  return command;
}

}  // namespace

Command CertCommand() {
  Command command;
  command.name = "cert";
  command.summary = "issues, revokes and lists clients' certificates";
  Command list = GetCommandOf("revocations");
  list.name = "list";
  list.summary = "lists the certificates that nodes take no more";
  list.description = "The same as `osctl get revocations`.";
  command.subcommands = {IssueCommand(), RevokeCommand(), std::move(list)};
  return command;
}

}  // namespace stele::osctl
