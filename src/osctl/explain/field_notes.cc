#include "osctl/explain/field_notes.h"

namespace stele::osctl {
namespace {

constexpr char kAtOnce[] = "done at once; restarts nothing";
constexpr char kKubelet[] = "restarts the kubelet";
constexpr char kDnsName[] = "labels of a-z, 0-9 and -, joined by dots; at most 63 characters each, 253 in all";
constexpr char kLabel[] = "at most 63 of a-z, 0-9 and -; each name once";
constexpr char kDiskPath[] = "an absolute path below /dev";
constexpr char kDiskIdentity[] = "at most 128 printable characters";

struct Row {
  absl::string_view path;
  FieldNotes notes;
};

// In the order of the schema.
constexpr Row kRows[] = {
    {"apiVersion", {"", "stele.dev/v1", "cannot be changed: it has one value", "apiVersion: stele.dev/v1\n"}},
    {"kind", {"", "MachineConfig", "cannot be changed: it has one value", "kind: MachineConfig\n"}},

    {"api",
     {"", "", "taken while the API runs; restarts nothing",
      "api:  # as `osctl gen node` writes it\n"
      "  clientCA: |\n    -----BEGIN CERTIFICATE-----\n    …\n"
      "  certificate: |\n    -----BEGIN CERTIFICATE-----\n    …\n"
      "  key: |\n    -----BEGIN PRIVATE KEY-----\n    …\n"}},
    {"api.clientCA",
     {"", "PEM: one certificate of a CA, or several",
      "taken while the API runs; connections end where their client's CA is gone", ""}},
    {"api.certificate", {"", "PEM: a TLS server's certificate first", "", ""}},
    {"api.key", {"", "PEM: the key of api.certificate, without a passphrase", "", ""}},
    {"api.roles",
     {"the roles of every node alone", "at most 32, each with at most 64 methods and 64 resource types",
      "taken while the API runs; restarts nothing",
      "api:\n"
      "  roles:\n"
      "  - name: log-reader\n"
      "    methods: [LogService.ReadLog, \"ResourceService.*\"]\n"
      "    resources: [services, pods]\n"}},
    {"api.roles.name", {"", "a label, and no role that every node has; each name once", "", ""}},
    {"api.roles.methods", {"", "Service.Method or Service.*, as docs/api.md has them", "", ""}},
    {"api.roles.resources", {"none", "types as in `osctl get types`, or \"*\": all", "", ""}},

    {"network",
     {"every link with a carrier asks DHCP", "", kAtOnce,
      "network:\n  hostname: worker-1\n  interfaces:\n  - name: eth0\n    dhcp: true\n"}},
    {"network.hostname",
     {"DHCP's, else stele-<hardware address>",
      "labels of a-z, 0-9 and -, joined by dots; at most 63 characters each, 253 in all; not localhost", kKubelet,
      "network:\n  hostname: worker-1\n"}},
    {"network.interfaces",
     {"every link with a carrier asks DHCP", "at least one of them has dhcp or addresses",
      "done at once; dhcpcd starts, stops or restarts when other links ask DHCP",
      "network:\n"
      "  interfaces:\n"
      "  - name: eth0\n"
      "    addresses: [192.0.2.10/24, \"2001:db8::10/64\"]\n"
      "    routes:\n"
      "    - to: default\n"
      "      via: 192.0.2.1\n"
      "    - to: 198.51.100.0/24\n"
      "      via: 192.0.2.254\n"
      "      metric: 100\n"
      "    mtu: 1500\n"
      "  - name: eth1\n"
      "    dhcp: true\n"}},
    {"network.interfaces.name", {"", "at most 15 characters, not lo; each name once", "", ""}},
    {"network.interfaces.dhcp", {"false", "not beside IPv4 addresses of its own", "", ""}},
    {"network.interfaces.addresses", {"none of its own", "each with its prefix length, and once", "", ""}},
    {"network.interfaces.routes.to", {"", "a network with its prefix length, or default, which needs via", "", ""}},
    {"network.interfaces.routes.via",
     {"none: what it leads to is on the link",
      "of the same family as to, and within a network of the interface's addresses unless dhcp is true", "", ""}},
    {"network.interfaces.routes.metric", {"1024", "0 to 4294967295; 0 is 1024", "", ""}},
    {"network.interfaces.mtu", {"the driver's", "576 to 65535, or 0: the driver's", "", ""}},
    {"network.nameservers",
     {"DHCP's", "addresses", "done at once: /etc/resolv.conf is written", "network:\n  nameservers: [192.0.2.53]\n"}},
    {"network.search",
     {"DHCP's", kDnsName, "done at once: /etc/resolv.conf is written", "network:\n  search: [example.org]\n"}},

    {"time",
     {"DHCP's time servers", "", "starts, stops or restarts chronyd",
      "time:\n  servers: [time.example.org, 192.0.2.123]\n"}},
    {"time.servers", {"DHCP's; without those the clock is not set", "host names and addresses", "", ""}},

    {"storage",
     {"the disk the node was booted from", "", "counts from the next boot on", "storage:\n  disk: /dev/vda\n"}},
    {"storage.disk", {"the disk the node was booted from", "an absolute path below /dev; not beside install", "", ""}},

    {"kubelet",
     {"", "", kKubelet,
      "kubelet:\n"
      "  bootstrap:\n"
      "    server: https://10.0.0.10:6443\n"
      "    ca: |\n      -----BEGIN CERTIFICATE-----\n      …\n"
      "    token: abcdef.0123456789abcdef\n"
      "  clusterDNS: [10.96.0.10]\n"}},
    {"kubelet.kubeconfig",
     {"no cluster, unless there is bootstrap",
      "YAML of kind Config, with a server and a current-context; not beside bootstrap", "",
      "kubelet:\n"
      "  kubeconfig: |\n"
      "    apiVersion: v1\n"
      "    kind: Config\n"
      "    clusters:\n"
      "    - {name: a, cluster: {server: \"https://10.0.0.10:6443\"}}\n"
      "    contexts:\n"
      "    - {name: a, context: {cluster: a, user: node}}\n"
      "    current-context: a\n"}},
    {"kubelet.bootstrap", {"no cluster, unless there is kubeconfig", "not beside kubeconfig", "", ""}},
    {"kubelet.bootstrap.server", {"", "https://host or https://host:port", "", ""}},
    {"kubelet.bootstrap.ca", {"", "PEM: one certificate of a CA, or several", "", ""}},
    {"kubelet.bootstrap.token", {"", "six of a-z and 0-9, a dot, and sixteen more", "", ""}},
    {"kubelet.staticPods",
     {"none", "", "done at once: the kubelet starts, changes or ends the pods",
      "kubelet:\n"
      "  staticPods:\n"
      "  - name: hello\n"
      "    manifest: |\n"
      "      apiVersion: v1\n"
      "      kind: Pod\n"
      "      metadata: {name: hello}\n"
      "      spec:\n"
      "        containers:\n"
      "        - {name: main, image: \"registry.example.org/hello:1\"}\n"}},
    {"kubelet.staticPods.name", {"", kLabel, "", ""}},
    {"kubelet.staticPods.manifest",
     {"", "YAML of a v1 Pod with a name and a container that has a name and an image", "", ""}},
    {"kubelet.clusterDNS", {"none", "addresses", "", "kubelet:\n  clusterDNS: [10.96.0.10]\n"}},
    {"kubelet.clusterDomain", {"cluster.local", kDnsName, "", "kubelet:\n  clusterDomain: cluster.local\n"}},
    {"kubelet.nodeLabels",
     {"none", "names as Kubernetes takes them, such as example.com/rack; values of at most 63 characters", "",
      "kubelet:\n  nodeLabels:\n    example.com/rack: r12\n"}},
    {"kubelet.nodeIP", {"the kubelet's choice", "an address", "", "kubelet:\n  nodeIP: 192.0.2.10\n"}},

    {"upgrade",
     {"", "", "counts at once, for an upgrade under way too; restarts nothing",
      "upgrade:\n  deadline: 900\n  manual: true\n  drainTimeout: 300\n"}},
    {"upgrade.deadline", {"600", "60 to 3600, or 0: 600", "", ""}},
    {"upgrade.manual", {"false: what is good is kept", "", "", ""}},
    {"upgrade.drainTimeout", {"no waiting", "0 to 3600; 0: no waiting", "", ""}},

    {"install",
     {"it is installed by `osctl install` only", "not beside storage.disk",
      "counts from the next boot on, when it is from a medium",
      "install:\n  disk:\n    model: NVMe\n    minSize: 100\n    maxSize: 1000\n  wipe: true\n"}},
    {"install.disk", {"", "at least one of its keys; exactly one disk has to fit all of them", "", ""}},
    {"install.disk.path", {"any", kDiskPath, "", "install:\n  disk:\n    path: /dev/nvme0n1\n"}},
    {"install.disk.serial", {"any", kDiskIdentity, "", "install:\n  disk:\n    serial: S4X1NA0\n"}},
    {"install.disk.model", {"any", kDiskIdentity, "", ""}},
    {"install.disk.wwid", {"any", kDiskIdentity, "", "install:\n  disk:\n    wwid: eui.0025385b71b00a2c\n"}},
    {"install.disk.minSize", {"any", "0 to 4294967295 GiB", "", ""}},
    {"install.disk.maxSize", {"any", "not less than minSize, or 0: any", "", ""}},
    {"install.wipe", {"false: a disk that holds something is left alone", "", "", ""}},
    {"logging",
     {"logs stay on the node", "", "done at once; restarts nothing but what sends them",
      "logging:\n"
      "  sinks:\n"
      "  - name: central\n"
      "    endpoint: tcp://logs.example.org:6514\n"
      "    format: rfc5424\n"
      "    sources: [kernel, kubelet]\n"}},
    {"logging.sinks", {"none", "at most 4", "", ""}},
    {"logging.sinks.name", {"", "a label; each name once", "", ""}},
    {"logging.sinks.endpoint", {"", "tcp, tls or udp://HOST:PORT", "", ""}},
    {"logging.sinks.format", {"json", "json or rfc5424; over udp rfc5424 alone", "", ""}},
    {"logging.sinks.sources", {"all", "names of services, and kernel", "", ""}},
    {"logging.sinks.ca",
     {"the CAs of the image", "PEM: one certificate of a CA, or several; for tls alone", "",
      "logging:\n"
      "  sinks:\n"
      "  - name: central\n"
      "    endpoint: tls://logs.example.org:6514\n"
      "    ca: |\n      -----BEGIN CERTIFICATE-----\n      …\n"
      "    certificate: |\n      -----BEGIN CERTIFICATE-----\n      …\n"
      "    key: |\n      -----BEGIN PRIVATE KEY-----\n      …\n"}},
    {"logging.sinks.certificate",
     {"none", "PEM: a TLS client's certificate first; with its key, for tls alone", "",
      "logging:\n"
      "  sinks:\n"
      "  - name: central\n"
      "    certificate: |\n      -----BEGIN CERTIFICATE-----\n      …\n"}},
    {"logging.sinks.key",
     {"none", "PEM: the key of logging.sinks.certificate, without a passphrase", "",
      "logging:\n"
      "  sinks:\n"
      "  - name: central\n"
      "    key: |\n      -----BEGIN PRIVATE KEY-----\n      …\n"}},
};

}  // namespace

FieldNotes NotesOf(absl::string_view path) {
  FieldNotes notes;
  bool own = true;
  for (absl::string_view at = path; !at.empty();) {
    for (const Row& row : kRows) {
      if (row.path != at) continue;
      if (own) notes.otherwise = row.notes.otherwise, notes.limits = row.notes.limits;
      if (notes.change.empty()) notes.change = row.notes.change;
      if (notes.example.empty()) notes.example = row.notes.example;
    }
    own = false;
    size_t dot = at.rfind('.');
    at = dot == absl::string_view::npos ? "" : at.substr(0, dot);
  }
  return notes;
}

}  // namespace stele::osctl
