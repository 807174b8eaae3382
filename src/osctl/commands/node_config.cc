// The text of a node's configuration. Written by hand and not from the message, because it is read
// by people: each part says what it is for, and what is not set is there as a comment.
#include <map>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "config/yaml_to_proto.h"
#include "osctl/commands/gen.h"
#include "osctl/failure.h"
#include "osctl/output/value.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::osctl {
namespace {

// A string as YAML writes it on one line.
std::string Scalar(absl::string_view text) {
  std::string yaml = ToYaml(Value::String(text));
  yaml.pop_back();
  return yaml;
}

std::string ScalarList(const std::vector<std::string>& items) {
  std::vector<std::string> scalars;
  for (const std::string& item : items) scalars.push_back(Scalar(item));
  return absl::StrCat("[", absl::StrJoin(scalars, ", "), "]");
}

// "key: |" and the text below it, deeper by two.
std::string Block(int indent, absl::string_view key, absl::string_view text) {
  std::string spaces(indent, ' ');
  std::string out = absl::StrCat(spaces, key, ": |\n");
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty()) {
      out += "\n";
    } else {
      absl::StrAppend(&out, spaces, "  ", line, "\n");
    }
  }
  return out;
}

// "  key: value", or as a comment with an example when it is not set.
std::string Line(absl::string_view key, const std::string& value, absl::string_view example) {
  return value.empty() ? absl::StrCat("  # ", key, ": ", example, "\n") : absl::StrCat("  ", key, ": ", value, "\n");
}

std::string OptionalScalar(const std::string& value) { return value.empty() ? "" : Scalar(value); }
std::string OptionalList(const std::vector<std::string>& items) { return items.empty() ? "" : ScalarList(items); }

absl::StatusOr<std::string> ReadLocal(const std::string& path) {
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return WithExit(text.status(), ExitCode::kLocal);
  return text;
}

std::string ApiPart(const std::string& client_ca, const KeyPair& server) {
  return absl::StrCat(
      "# Who may manage the node, and how it proves itself to them.\n"
      "api:\n"
      "  # Clients whose certificate this CA signed may call; their role is the certificate's Organization:\n"
      "  # reader, operator, admin, updater, backup, or one of the roles below. Several while one takes another's "
      "place.\n",
      Block(2, "clientCA", client_ca), "  # What the node shows to its clients.\n",
      Block(2, "certificate", server.certificate), Block(2, "key", server.key),
      "  # Narrow roles of this node's: methods as in docs/api.md, resource types as in `osctl get types`.\n"
      "  # roles:\n"
      "  #   - name: ci-watch\n"
      "  #     methods: [SystemService.Version, \"LogService.*\", ResourceService.List]\n"
      "  #     resources: [services, phases]\n");
}

absl::StatusOr<std::string> InterfacesPart(const NodeConfigOptions& options) {
  std::map<std::string, std::vector<std::string>> addresses;
  std::vector<std::string> order;
  for (const std::string& entry : options.addresses) {
    std::pair<std::string, std::string> parts = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    if (parts.second.empty()) return UsageError(absl::StrCat("--address ", entry), "write INTERFACE=ADDRESS/PREFIX");
    if (addresses.count(parts.first) == 0) order.push_back(parts.first);
    addresses[parts.first].push_back(parts.second);
  }
  if (!options.gateway.empty() && order.empty()) return UsageError("--gateway needs an --address");
  std::string out;
  for (const std::string& name : options.dhcp) {
    absl::StrAppend(&out, "    - name: ", Scalar(name), "\n      dhcp: true\n");
  }
  for (const std::string& name : order) {
    absl::StrAppend(&out, "    - name: ", Scalar(name), "\n      addresses: ", ScalarList(addresses[name]), "\n");
    if (!options.gateway.empty() && name == order.front()) {
      absl::StrAppend(&out, "      routes:\n        - to: default\n          via: ", Scalar(options.gateway), "\n");
    }
  }
  if (!out.empty()) return absl::StrCat("  interfaces:\n", out);
  return std::string(
      "  # interfaces:\n"
      "  #   - name: eth0\n"
      "  #     dhcp: true\n"
      "  #   - name: eth1\n"
      "  #     addresses: [\"192.0.2.10/24\"]\n"
      "  #     routes:\n"
      "  #       - to: default\n"
      "  #         via: \"192.0.2.1\"\n"
      "  #         metric: 1024\n"
      "  #     mtu: 1500\n");
}

absl::StatusOr<std::string> NetworkPart(const NodeConfigOptions& options) {
  ASSIGN_OR_RETURN(std::string interfaces, InterfacesPart(options));
  std::string body =
      absl::StrCat("  # Without one, DHCP's is taken, else stele-<hardware address>.\n",
                   Line("hostname", OptionalScalar(options.hostname), "node-1"),
                   "  # Without any, every link with a carrier asks DHCP.\n", interfaces, "  # Without any, DHCP's.\n",
                   Line("nameservers", OptionalList(options.nameservers), "[\"192.0.2.53\"]"),
                   Line("search", OptionalList(options.search), "[example.com]"));
  // A key whose whole body is comments would be null.
  bool empty = options.hostname.empty() && options.nameservers.empty() && options.search.empty() &&
               options.addresses.empty() && options.dhcp.empty();
  return absl::StrCat("# Host name, addresses, name servers.\n", empty ? "network: {}\n" : "network:\n", body);
}

std::string TimePart(const NodeConfigOptions& options) {
  bool empty = options.time_servers.empty();
  return absl::StrCat("# Time servers, by name or address. Without any, DHCP's; there is no default server.\n",
                      empty ? "time: {}\n" : "time:\n",
                      Line("servers", OptionalList(options.time_servers), "[\"192.0.2.123\"]"));
}

std::string StoragePart(const NodeConfigOptions& options) {
  bool empty = options.disk.empty();
  return absl::StrCat(
      "# A whole disk for the node's data. It is partitioned and formatted when it is empty; one that holds\n"
      "# anything else is left alone. Without it, the disk that the node was booted from.\n",
      empty ? "storage: {}\n" : "storage:\n", Line("disk", OptionalScalar(options.disk), "/dev/vda"));
}

// What somebody sets later, if at all.
constexpr char kUpgradePart[] =
    "# When an upgrade counts as good.\n"
    "upgrade: {}\n"
    "  # Seconds from the start of a trial in which everything must hold; without it 600.\n"
    "  # deadline: 600\n"
    "  # Whether an operator has to confirm each upgrade: `osctl upgrade confirm`.\n"
    "  # manual: true\n"
    "  # Seconds that pods get to leave before an image is activated; static ones stay.\n"
    "  # drainTimeout: 0\n";
constexpr char kInstallPart[] =
    "# Installs by itself onto the disk that fits all of this, on a node that was booted from a medium.\n"
    "# install:\n"
    "#   disk:\n"
    "#     path: /dev/nvme0n1\n"
    "#     serial: S4EWNX0R123456\n"
    "#     model: Samsung\n"
    "#     wwid: eui.0025385b21404321\n"
    "#     minSize: 32\n"
    "#     maxSize: 1024\n"
    "#   # Also when it holds something, all of which is lost.\n"
    "#   wipe: true\n";
constexpr char kLoggingPart[] =
    "# Where the node's logs are sent as they appear; at most four.\n"
    "# logging:\n"
    "#   sinks:\n"
    "#     - name: central\n"
    "#       endpoint: tls://logs.example.org:6514\n"
    "#       # json or rfc5424.\n"
    "#       format: rfc5424\n"
    "#       # Services, and kernel; without it all of them.\n"
    "#       sources: [kernel, kubelet]\n"
    "#       # Of the receiver; without it, those of the image.\n"
    "#       ca: |\n"
    "#         -----BEGIN CERTIFICATE-----\n"
    "#       # What the node shows to the receiver, and its key.\n"
    "#       certificate: |\n"
    "#         -----BEGIN CERTIFICATE-----\n"
    "#       key: |\n"
    "#         -----BEGIN PRIVATE KEY-----\n";

std::string StemOf(const std::string& path) {
  std::string name = path.substr(path.rfind('/') + 1);
  for (const char* suffix : {".yaml", ".yml", ".json"}) {
    size_t size = strlen(suffix);
    if (name.size() > size && name.compare(name.size() - size, size, suffix) == 0)
      return name.substr(0, name.size() - size);
  }
  return name;
}

absl::StatusOr<std::string> IdentityPart(const NodeConfigOptions& options) {
  if (!options.kubeconfig.empty()) {
    ASSIGN_OR_RETURN(std::string kubeconfig, ReadLocal(options.kubeconfig));
    return absl::StrCat("  # Its identity in the cluster.\n", Block(2, "kubeconfig", kubeconfig));
  }
  int given = !options.bootstrap_server.empty() + !options.bootstrap_ca.empty() + !options.bootstrap_token.empty();
  if (given == 0) {
    return std::string(
        "  # A kubeconfig, for a node that has its identity already, or a bootstrap token to join with.\n"
        "  # Without either the kubelet runs alone, with the static pods.\n"
        "  # kubeconfig: |\n"
        "  #   apiVersion: v1\n"
        "  #   …\n"
        "  # bootstrap:\n"
        "  #   server: https://192.0.2.1:6443\n"
        "  #   ca: |\n"
        "  #     -----BEGIN CERTIFICATE-----\n"
        "  #   token: abcdef.0123456789abcdef\n");
  }
  if (given != 3) return UsageError("--bootstrap-server, --bootstrap-ca and --bootstrap-token belong together");
  ASSIGN_OR_RETURN(std::string ca, ReadLocal(options.bootstrap_ca));
  return absl::StrCat("  bootstrap:\n    server: ", Scalar(options.bootstrap_server), "\n", Block(4, "ca", ca),
                      "    token: ", Scalar(options.bootstrap_token), "\n");
}

absl::StatusOr<std::string> StaticPodsPart(const NodeConfigOptions& options) {
  if (options.static_pods.empty()) {
    return std::string(
        "  # Pods that run without an API server: a name for each, and its manifest as text.\n"
        "  # staticPods:\n"
        "  #   - name: hello\n"
        "  #     manifest: |\n"
        "  #       apiVersion: v1\n"
        "  #       kind: Pod\n"
        "  #       …\n");
  }
  std::string out = "  # Pods that run without an API server.\n  staticPods:\n";
  for (const std::string& path : options.static_pods) {
    ASSIGN_OR_RETURN(std::string manifest, ReadLocal(path));
    absl::StrAppend(&out, "    - name: ", Scalar(StemOf(path)), "\n", Block(6, "manifest", manifest));
  }
  return out;
}

absl::StatusOr<std::string> LabelsPart(const NodeConfigOptions& options) {
  if (options.labels.empty()) return std::string("  # nodeLabels:\n  #   example.com/rack: r1\n");
  std::string out = "  nodeLabels:\n";
  for (const std::string& label : options.labels) {
    std::pair<std::string, std::string> parts = absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (parts.first.empty()) return UsageError(absl::StrCat("--label ", label), "write KEY=VALUE");
    absl::StrAppend(&out, "    ", Scalar(parts.first), ": ", Scalar(parts.second), "\n");
  }
  return out;
}

absl::StatusOr<std::string> KubeletPart(const NodeConfigOptions& options) {
  ASSIGN_OR_RETURN(std::string identity, IdentityPart(options));
  ASSIGN_OR_RETURN(std::string pods, StaticPodsPart(options));
  ASSIGN_OR_RETURN(std::string labels, LabelsPart(options));
  std::string body = absl::StrCat(identity, pods, "  # Name servers and domain of pods.\n",
                                  Line("clusterDNS", OptionalList(options.cluster_dns), "[\"10.96.0.10\"]"),
                                  Line("clusterDomain", OptionalScalar(options.cluster_domain), "cluster.local"),
                                  "  # What the node registers with.\n", labels,
                                  Line("nodeIP", OptionalScalar(options.node_ip), "\"192.0.2.10\""));
  bool empty = true;
  for (absl::string_view line : absl::StrSplit(body, '\n', absl::SkipEmpty())) {
    empty = empty && line.substr(0, 3) == "  #";
  }
  return absl::StrCat("# The kubelet, and the cluster it joins.\n", empty ? "kubelet: {}\n" : "kubelet:\n", body);
}

}  // namespace

absl::StatusOr<std::string> NodeConfigYaml(const KeyStore& store, const std::string& name,
                                           const NodeConfigOptions& options) {
  ASSIGN_OR_RETURN(std::string client_ca, store.LoadCertificate(kClientAuthority));
  ASSIGN_OR_RETURN(KeyPair server, store.Load(name));
  ASSIGN_OR_RETURN(std::string network, NetworkPart(options));
  ASSIGN_OR_RETURN(std::string kubelet, KubeletPart(options));
  std::string yaml = absl::StrCat(
      "# The configuration of a Stele node. Every key there is appears here; those that are not set are\n"
      "# comments. Once a node runs: `osctl config validate -f FILE`.\n"
      "apiVersion: stele.dev/v1\n"
      "kind: MachineConfig\n\n",
      ApiPart(client_ca, server), "\n", network, "\n", TimePart(options), "\n", StoragePart(options), "\n", kubelet,
      "\n", kUpgradePart, "\n", kInstallPart, "\n", kLoggingPart);
  stele::config::v1::MachineConfig parsed;
  std::vector<stele::config::Problem> problems = stele::config::ParseYaml(yaml, {}, &parsed);
  if (problems.empty()) return yaml;
  return UsageError(absl::StrCat("the configuration would be wrong: ", stele::config::ToString(problems[0])));
}

}  // namespace stele::osctl
