// What the parts of `osctl gen` share: options, and the steps that `gen node` strings together.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "osctl/command.h"
#include "osctl/keystore.h"
#include "osctl/pki.h"

namespace stele::osctl {

// How long certificates hold.
struct ValidityOptions {
  absl::Duration valid_for = absl::ZeroDuration();  // zero: what fits the kind of certificate
  std::string not_before;
  std::string not_after;
};
// --valid-for, --not-before, --not-after.
void AddValidityArguments(ValidityOptions* options, std::vector<Argument>* arguments);
absl::StatusOr<Validity> ValidityOf(const ValidityOptions& options, absl::Duration otherwise);

inline constexpr absl::Duration kAuthorityLifetime = absl::Hours(24 * 3650);
inline constexpr absl::Duration kServerLifetime = absl::Hours(24 * 365);
inline constexpr absl::Duration kClientLifetime = absl::Hours(24 * 90);

// Both CAs (made when they are missing) and the certificate of the node `name`.
absl::Status GenerateServer(const KeyStore& store, const std::string& name, const std::vector<std::string>& san,
                            const ValidityOptions& validity);

struct ClientRequest {
  std::string name;
  std::string role = "admin";
  std::string usage = "client";
  ValidityOptions validity;
};
// A client's certificate, signed by the store's client CA.
absl::Status GenerateClient(const KeyStore& store, const ClientRequest& request);

// What goes into a node's configuration.
struct NodeConfigOptions {
  std::string hostname;
  std::string disk;
  std::vector<std::string> static_pods;  // manifest files
  std::vector<std::string> dhcp;         // interfaces
  std::vector<std::string> addresses;    // INTERFACE=ADDRESS/PREFIX
  std::string gateway;
  std::vector<std::string> nameservers;
  std::vector<std::string> search;
  std::vector<std::string> time_servers;
  std::string kubeconfig;  // a file
  std::string bootstrap_server;
  std::string bootstrap_ca;  // a file
  std::string bootstrap_token;
  std::vector<std::string> cluster_dns;
  std::string cluster_domain;
  std::vector<std::string> labels;  // KEY=VALUE
  std::string node_ip;
};
void AddNodeConfigArguments(NodeConfigOptions* options, std::vector<Argument>* arguments);
// The whole commented YAML, checked against the schema.
absl::StatusOr<std::string> NodeConfigYaml(const KeyStore& store, const std::string& name,
                                           const NodeConfigOptions& options);

}  // namespace stele::osctl
