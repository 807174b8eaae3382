// osctl gen config: a node's whole configuration, with a comment on every part.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/gen.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

struct Options {
  std::string directory;
  std::string name = "node";
  NodeConfigOptions config;
};

absl::StatusOr<std::string> Generate(const Options& options) {
  ASSIGN_OR_RETURN(KeyStore store, KeyStore::Open(options.directory));
  return NodeConfigYaml(store, options.name, options.config);
}

}  // namespace

void AddNodeConfigArguments(NodeConfigOptions* o, std::vector<Argument>* arguments) {
  const std::vector<Argument> all = {
      {"--hostname", "NAME", "default: DHCP's", &o->hostname},
      {"--disk", "DEVICE", "a whole disk for the node's data, such as /dev/vda; formatted when it is empty", &o->disk},
      {"--static-pod", "FILE", "a Pod's manifest that runs without an API server", &o->static_pods, Presence::kOptional,
       Completion::kFile},
      {"--dhcp", "INTERFACE", "asks DHCP on this interface; default: on every one with a carrier", &o->dhcp},
      {"--address", "INTERFACE=ADDRESS/PREFIX", "a static address", &o->addresses},
      {"--gateway", "ADDRESS", "of the default route, through the first --address", &o->gateway},
      {"--nameserver", "ADDRESS", "a name server; default: DHCP's", &o->nameservers},
      {"--search", "DOMAIN", "a search domain", &o->search},
      {"--time-server", "NAME", "a time server; default: DHCP's", &o->time_servers},
      {"--kubeconfig", "FILE", "the kubelet's identity in a cluster", &o->kubeconfig, Presence::kOptional,
       Completion::kFile},
      {"--bootstrap-server", "URL", "join the cluster of this API server with a bootstrap token", &o->bootstrap_server},
      {"--bootstrap-ca", "FILE", "that API server's CA", &o->bootstrap_ca, Presence::kOptional, Completion::kFile},
      {"--bootstrap-token", "TOKEN", "id.secret", &o->bootstrap_token},
      {"--cluster-dns", "ADDRESS", "name server of pods", &o->cluster_dns},
      {"--cluster-domain", "DOMAIN", "default cluster.local", &o->cluster_domain},
      {"--label", "KEY=VALUE", "a label that the node registers with", &o->labels},
      {"--node-ip", "ADDRESS", "the address that the node registers with", &o->node_ip},
  };
  arguments->insert(arguments->end(), all.begin(), all.end());
}

Command GenConfigCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "config";
  command.summary = "prints a node's configuration";
  command.description = "YAML with a comment on every part, with keys from the directory of `osctl gen pki`.";
  command.arguments = {
      {"--pki", "DIR", "the directory of `osctl gen pki`", &options->directory, Presence::kRequired,
       Completion::kDirectory},
      {"--name", "NAME", "whose certificate of that directory; default node", &options->name},
  };
  AddNodeConfigArguments(&options->config, &command.arguments);
  command.run = [options](Session& session) {
    absl::StatusOr<std::string> yaml = Generate(*options);
    if (!yaml.ok()) return session.Report("", Annotate(yaml.status(), "gen config"));
    session.console().Out(*yaml);
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
