// What must be refused, each with line, path and reason, in less than 100 ms of processor time and
// 32 MiB of memory more than before.
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "config/machine_config_check.h"
#include "config/test_pem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::config {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
constexpr double kMaxSeconds = kSanitized ? 2.0 : 0.1;
constexpr size_t kMaxMemory = 32 << 20;

std::string OneLine(absl::string_view pem) {
  return absl::StrCat("\"", absl::StrReplaceAll(pem, {{"\n", "\\n"}}), "\"");
}

std::string Good() {
  return absl::StrReplaceAll(R"(apiVersion: stele.dev/v1
kind: MachineConfig
api:
  clientCA: CA
  certificate: SERVER
  key: KEY
network:
  hostname: node-1
  interfaces:
  - name: eth0
    addresses: [192.0.2.10/24, "2001:db8::10/64"]
    routes:
    - to: default
      via: 192.0.2.1
    mtu: 1500
  - name: eth1
    dhcp: true
  nameservers: [192.0.2.53]
  search: [example.org]
time:
  servers: [time.example.org]
storage:
  disk: /dev/vda
kubelet:
  bootstrap:
    server: https://10.0.2.2:6443
    ca: CA
    token: abcdef.0123456789abcdef
  clusterDNS: [10.96.0.10]
  clusterDomain: cluster.local
  nodeLabels:
    zone: a
  nodeIP: 192.0.2.10
  staticPods:
  - name: demo
    manifest: |
      apiVersion: v1
      kind: Pod
      metadata: {name: demo}
      spec: {containers: [{name: a, image: b}]}
)",
                             {{"CA\n", OneLine(test_pem::kCa) + "\n"},
                              {"SERVER", OneLine(test_pem::kServer)},
                              {"KEY", OneLine(test_pem::kServerKey)}});
}

struct Outcome {
  char problems[4096];
  size_t count;
  double seconds;
};

// Parses in a child that dies for want of memory beyond the bound.
Outcome ParseBounded(const std::string& yaml) {
  auto* outcome = static_cast<Outcome*>(
      ::mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::memset(outcome, 0, sizeof *outcome);
  pid_t child = ::fork();
  if (child == 0) {
    if (!kSanitized) {
      uint64_t pages = 0;
      std::ifstream("/proc/self/statm") >> pages;
      rlimit limit = {pages * ::getpagesize() + kMaxMemory, RLIM_INFINITY};
      ::setrlimit(RLIMIT_AS, &limit);
    }
    timespec start, end;
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    ParsedMachineConfig parsed = ParseMachineConfig(yaml);
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    outcome->seconds = (end.tv_sec - start.tv_sec) + (end.tv_nsec - start.tv_nsec) / 1e9;
    outcome->count = parsed.problems.size();
    std::string text;
    for (const Problem& problem : parsed.problems) {
      absl::StrAppend(&text, problem.line, ": ", problem.path.empty() ? "" : problem.path + ": ", problem.reason, "\n");
    }
    std::strncpy(outcome->problems, text.c_str(), sizeof outcome->problems - 1);
    ::_exit(parsed.config == nullptr ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "killed: out of bounds? status " << status;
  EXPECT_EQ(WEXITSTATUS(status) == 1, outcome->count == 0) << "a config where there are problems, or neither";
  Outcome copy = *outcome;
  ::munmap(outcome, sizeof(Outcome));
  return copy;
}

TEST(BadConfigs, TheGoodOneIsGood) { EXPECT_STREQ(ParseBounded(Good()).problems, ""); }

TEST(BadConfigs, RolesOfANewerVersionAreTakenWhereOneIsRead) {
  auto with = [](const char* role) {
    return absl::StrReplaceAll(Good(), {{"network:\n", absl::StrCat("  roles: [", role, "]\nnetwork:\n")}});
  };
  std::string good = with("{name: ci, methods: [SystemService.Version, LogService.*], resources: [services, '*']}");
  EXPECT_STREQ(ParseBounded(good).problems, "");
  // A node that goes back to this version boots with them; they grant nothing here.
  std::string newer = with("{name: ci, methods: [FutureService.*, LogService.Later], resources: [futures]}");
  EXPECT_NE(ParseBounded(newer).count, 0u);
  EXPECT_TRUE(ParseMachineConfig(newer, {.tolerate_unknown_keys = true}).problems.empty());
  for (const char* odd :
       {"{name: ci, methods: ['a b.*']}", "{name: ci, methods: ['a.b,c.d']}", "{name: ci, methods: ['*']}",
        "{name: ci, methods: [LogService.*], resources: ['a,b']}", "{name: admin, methods: [LogService.*]}"}) {
    EXPECT_FALSE(ParseMachineConfig(with(odd), {.tolerate_unknown_keys = true}).problems.empty()) << odd;
  }
}

// One change to the good config, and what is said: "line: path: reason" begins so.
struct Change {
  const char* from;
  std::string to;
  const char* said;
};

const std::vector<Change>& Changes() {
  using absl::StrCat;
  static const std::string bad_pem = absl::StrReplaceAll(OneLine(test_pem::kServer), {{"MII", "XII"}});
  static const std::vector<Change> changes = {
      // The frame.
      {"apiVersion: stele.dev/v1\n", "", "1: apiVersion: missing; expected a text"},
      {"stele.dev/v1", "stele.dev/v2", "1: apiVersion: expected stele.dev/v1"},
      {"stele.dev/v1", "1", "1: apiVersion: expected a text; YAML reads this as a number"},
      {"MachineConfig", "Machine", "2: kind: expected MachineConfig"},
      {"MachineConfig", "[MachineConfig]", "2: kind: expected a text, found a list"},
      {"MachineConfig", "", "2: kind: expected a text, found nothing"},
      {"kind:", "Kind:", "1: kind: missing; expected a text\n2: Kind: unknown key 'Kind'; did you mean 'kind'?"},
      // Keys.
      {"hostname:", "hostnam:", "8: network.hostnam: unknown key 'hostnam'; did you mean 'hostname'?"},
      {"nameservers:", "name_servers:",
       "18: network.name_servers: unknown key 'name_servers'; did you mean 'nameservers'?"},
      {"dhcp: true", "dchp: true", "17: network.interfaces[1].dchp: unknown key 'dchp'; did you mean 'dhcp'?"},
      {"storage:", "disks: 1\nstorage:", "22: disks: unknown key 'disks'; known here: apiVersion"},
      {"storage:", "time: {}\nstorage:", "22: time: duplicate key 'time'"},
      {"storage:", "logging: {sinks: [{name: a, endpoint: \"tcp://x\"}]}\nstorage:",
       "22: logging.sinks[0].endpoint: expected tcp://HOST:PORT"},
      {"storage:", "logging: {sinks: [{name: a, endpoint: \"udp://x:1\"}]}\nstorage:",
       "22: logging.sinks[0].format: lines of JSON need a stream"},
      {"storage:", "logging: {sinks: [{name: a, endpoint: \"tcp://x:1\", ca: x}]}\nstorage:",
       "22: logging.sinks[0].ca: is for tls"},
      {"mtu: 1500", "mtu: 1500\n    mtu: 1500", "16: network.interfaces[0].mtu: duplicate key 'mtu'"},
      {"zone: a", "zone: a\n    zone: b", "33: kubelet.nodeLabels.zone: duplicate key 'zone'"},
      {"zone: a", "zone: a\n    \"zone\": b", "33: kubelet.nodeLabels.zone: duplicate key 'zone'"},
      {"storage:", "? {a: b}\n: c\nstorage:", "22: expected a key, a word of at most 256 letters"},
      {"storage:", StrCat(std::string(300, 'k'), ": 1\nstorage:"), "22: expected a key, a word of at most 256 letters"},
      {"storage:", "<<: {a: b}\nstorage:", "22: merge keys (<<) are not allowed"},
      {"storage:", "~: 1\nstorage:", "22: ~: unknown key '~'"},
      {"storage:", "\"a\\0b\": 1\nstorage:", "22: control characters are not allowed in a key"},
      // Types.
      {"dhcp: true", "dhcp: yes", "17: network.interfaces[1].dhcp: expected true or false"},
      {"dhcp: true", "dhcp: \"true\"", "17: network.interfaces[1].dhcp: expected true or false, found a quoted text"},
      {"dhcp: true", "dhcp: 1", "17: network.interfaces[1].dhcp: expected true or false"},
      {"dhcp: true", "dhcp: [true]", "17: network.interfaces[1].dhcp: expected true or false, found a list"},
      {"mtu: 1500", "mtu: big", "15: network.interfaces[0].mtu: expected a whole number from 0 to 4294967295"},
      {"mtu: 1500", "mtu: -1", "15: network.interfaces[0].mtu: expected a whole number from 0 to 4294967295"},
      {"mtu: 1500", "mtu: 1.5e3", "15: network.interfaces[0].mtu: expected a whole number"},
      {"mtu: 1500", "mtu: 0x5dc", "15: network.interfaces[0].mtu: expected a whole number"},
      {"mtu: 1500", "mtu: 01500", "15: network.interfaces[0].mtu: expected a whole number"},
      {"mtu: 1500", "mtu: 4294967296", "15: network.interfaces[0].mtu: expected a whole number"},
      {"mtu: 1500", "mtu: \"1500\"",
       "15: network.interfaces[0].mtu: expected a whole number from 0 to 4294967295, found a quoted text"},
      {"hostname: node-1", "hostname: 12", "8: network.hostname: expected a text; YAML reads this as a number"},
      {"hostname: node-1", "hostname: null",
       "8: network.hostname: expected a text; YAML reads this as a number, truth value or null"},
      {"hostname: node-1", "hostname: off", "8: network.hostname: expected a text; YAML reads this"},
      {"hostname: node-1", "hostname: {a: b}", "8: network.hostname: expected a text, found a mapping"},
      {"[192.0.2.53]", "192.0.2.53", "18: network.nameservers: expected a list (- value)"},
      {"[192.0.2.53]", "[[192.0.2.53]]", "18: network.nameservers[0]: expected a single value, found a list"},
      {"[192.0.2.53]", "[{a: b}]", "18: network.nameservers[0]: expected a single value, found a mapping"},
      {"storage:\n  disk: /dev/vda", "storage: /dev/vda", "22: storage: expected a mapping (key: value)"},
      {"storage:\n  disk: /dev/vda", "storage:", "22: storage: expected a mapping (key: value), found nothing"},
      {"storage:\n  disk: /dev/vda", "storage: [{disk: /dev/vda}]", "22: storage: expected a mapping (key: value)"},
      {"  nodeLabels:\n    zone: a", "  nodeLabels: [zone]\n",
       "31: kubelet.nodeLabels: expected a mapping of names to values"},
      {"zone: a", "zone: 7", "32: kubelet.nodeLabels.zone: expected a text; YAML reads this as a number"},
      {"  - name: eth1\n    dhcp: true", "  - eth1\n", "16: network.interfaces[1]: expected a mapping (key: value)"},
      {"abcdef.0123456789abcdef", "123456.1234567890123456",
       "28: kubelet.bootstrap.token: expected a text; YAML reads this as a number"},
      // Required.
      {"  - name: eth1\n    dhcp", "  - dhcp", "16: network.interfaces[1].name: missing; expected a text"},
      {"    token: abcdef.0123456789abcdef\n", "", "26: kubelet.bootstrap.token: missing; expected a text"},
      {"- name: demo\n    manifest", "- manifest", "35: kubelet.staticPods[0].name: missing; expected a text"},
      {"name: eth1", "name: \"\"", "16: network.interfaces[1].name: must not be empty"},
      // YAML that is not ours, or not YAML.
      {"hostname: node-1", "hostname: &a node-1", "8: network.hostname: anchors (&name) are not allowed"},
      {"hostname: node-1", "hostname: *a", "8: network.hostname: aliases (*name) are not allowed"},
      {"hostname: node-1", "hostname: !!str node-1", "8: network.hostname: tags (!name) are not allowed"},
      {"hostname: node-1", "hostname: !exec node-1", "8: network.hostname: tags (!name) are not allowed"},
      {"storage:", "---\nstorage:", "22: a second document; only one is allowed"},
      {"storage:", "...\n---\nstorage:", "23: a second document; only one is allowed"},
      {"apiVersion:", "%YAML 1.1\n---\napiVersion:", "1: directives (%YAML, %TAG) are not allowed"},
      {"apiVersion:", "%TAG ! tag:x,2000:\n---\napiVersion:", "1: directives (%YAML, %TAG) are not allowed"},
      {"hostname: node-1", "hostname: \"node-1", "11: network.hostname: not valid YAML: "},
      {"hostname: node-1", "hostname: [node-1", "8: network.hostname: expected a text, found a list\n"},
      {"hostname: node-1", "\thostname: node-1", "8: network: not valid YAML: "},
      {"hostname: node-1", "hostname: node: 1", "8: network.hostname: not valid YAML: "},
      {"hostname: node-1", "hostname: @node", "8: network.hostname: not valid YAML: "},
      {"hostname: node-1", "hostname: node-1\n hostname: x", "9: network: not valid YAML: "},
      {"hostname: node-1", "hostname: \"\\q\"", "8: network.hostname: not valid YAML: "},
      {"hostname: node-1", "hostname: \"\\0\"", "8: network.hostname: control characters are not allowed in a value"},
      {"hostname: node-1", "hostname: \"a\\x1b[2J\"",
       "8: network.hostname: control characters are not allowed in a value"},
      // Bytes that are not text.
      {"node-1", std::string("no\0de", 5), "8: control character U+0000 is not allowed"},
      {"node-1", "no\x7f", "8: control character U+007F is not allowed"},
      {"node-1", "no\rde", "8: control character U+000D is not allowed"},
      {"node-1", "no\xc3(", "8: byte 0xc3 is not valid UTF-8"},
      {"node-1", "\xf5\x80\x80\x80", "8: byte 0xf5 is not valid UTF-8"},
      {"node-1", "\xe0\x80\xaf", "8: byte 0xe0 is not valid UTF-8"},
      {"apiVersion",
       "\xef\xbb\xbf"
       "apiVersion",
       "1: control character U+FEFF is not allowed"},
      // Keys and certificates.
      {"clientCA: ", "clientCA: \"no PEM\" #", "4: api.clientCA: expected PEM"},
      {"clientCA: ", StrCat("clientCA: ", OneLine(test_pem::kServer), " #"),
       "4: api.clientCA: certificate 1 is not a certificate authority's"},
      {"clientCA: ", StrCat("clientCA: ", bad_pem, " #"), "4: api.clientCA: certificate 1 of 1 does not parse"},
      {"certificate: ", StrCat("certificate: ", bad_pem, " #"),
       "5: api.certificate: certificate 1 of 1 does not parse"},
      {"certificate: ", StrCat("certificate: ", OneLine(StrCat(test_pem::kServer, test_pem::kServerKey)), " #"),
       "5: api.certificate: expected certificates, found a private key"},
      {"certificate: ", StrCat("certificate: ", OneLine(test_pem::kClient), " #"),
       "5: api.certificate: the first certificate is not for a TLS server"},
      {"  key: ", StrCat("  key: ", OneLine(test_pem::kOtherKey), " #"),
       "6: api.key: is not the key of api.certificate"},
      {"  key: ", StrCat("  key: ", OneLine(test_pem::kServer), " #"), "6: api.key: expected a private key, PEM"},
      {"  key: ", StrCat("  key: ", OneLine(test_pem::kEncryptedKey), " #"),
       "6: api.key: expected a private key without a passphrase"},
      {"  key: ", "  key: \"\" #", "6: api.key: must not be empty"},
      {"network:\n", "  roles: [{name: ci, methods: [LogService.Nothing]}]\nnetwork:\n",
       "7: api.roles[0].methods[0]: expected Service.Method or Service.*, such as LogService.ReadLog; no method is "
       "'LogService.Nothing'"},
      {"network:\n", "  roles: [{name: ci, methods: [\"*\"]}]\nnetwork:\n",
       "7: api.roles[0].methods[0]: expected Service"},
      {"network:\n", "  roles: [{name: ci, methods: [\"LogService.* SystemService.*\"]}]\nnetwork:\n",
       "7: api.roles[0].methods[0]: expected Service"},
      {"network:\n", "  roles: [{name: ci, methods: [\"LogService.*\\nx methods=SystemService.*\"]}]\nnetwork:\n",
       "7: api.roles[0].methods[0]: "},
      {"network:\n", "  roles: [{name: ci, methods: [\"/stele.machine.v1.LogService/ReadLog\"]}]\nnetwork:\n",
       "7: api.roles[0].methods[0]: expected Service"},
      {"network:\n", "  roles: [{name: ci, methods: [\"LogService.*\"], resources: [secrets]}]\nnetwork:\n",
       "7: api.roles[0].resources[0]: expected a resource type as in `osctl get types`"},
      {"network:\n", "  roles: [{name: admin, methods: [\"LogService.*\"]}]\nnetwork:\n",
       "7: api.roles[0].name: every node has a role admin, which cannot be changed"},
      {"network:\n", "  roles: [{name: updater, methods: [\"LogService.*\"]}]\nnetwork:\n",
       "7: api.roles[0].name: every node has a role updater, which cannot be changed"},
      {"network:\n", "  roles: [{name: CI, methods: [\"LogService.*\"]}]\nnetwork:\n",
       "7: api.roles[0].name: expected at most 63 of a-z"},
      {"network:\n", "  roles: [{name: ci}]\nnetwork:\n", "7: api.roles[0].methods: missing"},
      {"network:\n",
       "  roles: [{name: ci, methods: [\"LogService.*\"]}, {name: ci, methods: [\"LogService.*\"]}]\nnetwork:\n",
       "7: api.roles[1].name: there is another role 'ci'"},
      {"network:\n",
       absl::StrCat("  roles: [",
                    absl::StrJoin(std::vector<std::string>(33, "{name: a, methods: [LogService.ReadLog]}"), ", "),
                    "]\nnetwork:\n"),
       "7: api.roles: expected at most 32 roles"},
      // Network.
      {"node-1", "Node_1", "8: network.hostname: expected an RFC 1123 name"},
      {"node-1", "-node", "8: network.hostname: expected an RFC 1123 name"},
      {"node-1", "localhost", "8: network.hostname: must not be localhost"},
      {"node-1", "(none)", "8: network.hostname: expected an RFC 1123 name"},
      {"node-1", std::string(64, 'a'), "8: network.hostname: expected an RFC 1123 name"},
      {"name: eth1", "name: eth0", "16: network.interfaces[1].name: there is another interface 'eth0'"},
      {"name: eth1", "name: ../eth1", "16: network.interfaces[1].name: expected a link's name"},
      {"name: eth1", "name: a-very-long-name", "16: network.interfaces[1].name: expected a link's name"},
      {"name: eth1", "name: lo", "16: network.interfaces[1].name: expected a link's name"},
      {"192.0.2.10/24", "192.0.2.10",
       "11: network.interfaces[0].addresses[0]: expected an address with its prefix length"},
      {"192.0.2.10/24", "192.0.2.10/33",
       "11: network.interfaces[0].addresses[0]: expected an address with its prefix length"},
      {"192.0.2.10/24", "192.0.2.256/24",
       "11: network.interfaces[0].addresses[0]: expected an address with its prefix length"},
      {"192.0.2.10/24", "127.0.0.1/8",
       "11: network.interfaces[0].addresses[0]: no link can have this address: it is reserved"},
      {"192.0.2.10/24", "224.0.0.1/24",
       "11: network.interfaces[0].addresses[0]: no link can have this address: it is reserved"},
      {"192.0.2.10/24", "192.0.2.10/0", "11: network.interfaces[0].addresses[0]: the prefix length must not be 0"},
      {"\"2001:db8::10/64\"", "192.0.2.10/24", "11: network.interfaces[0].addresses[1]: is there twice"},
      {"mtu: 1500", "dhcp: true",
       "11: network.interfaces[0].addresses[0]: an IPv4 address of one's own and dhcp exclude each other"},
      {"mtu: 1500", "mtu: 100", "15: network.interfaces[0].mtu: expected 576 to 65535"},
      {"to: default", "to: somewhere",
       "13: network.interfaces[0].routes[0].to: expected a network with its prefix length"},
      {"via: 192.0.2.1\n", "via: 203.0.113.1\n",
       "14: network.interfaces[0].routes[0].via: lies in none of the networks"},
      {"via: 192.0.2.1\n", "via: gateway\n", "14: network.interfaces[0].routes[0].via: expected the gateway's address"},
      {"      via: 192.0.2.1\n", "",
       "13: network.interfaces[0].routes[0].to: a default route needs a gateway: add via"},
      {"to: default", "to: \"2001:db8:1::/64\"",
       "14: network.interfaces[0].routes[0].via: IPv4 and IPv6 are mixed in one route"},
      {"[192.0.2.53]", "[dns.example.org]", "18: network.nameservers[0]: expected an address"},
      {"[example.org]", "[\"example org\"]", "19: network.search[0]: expected an RFC 1123 name"},
      // Time, storage.
      {"[time.example.org]", "[\"time.example.org iburst\"]",
       "21: time.servers[0]: expected a host name or an address"},
      {"[time.example.org]", "[\"a\\nport 123\"]", "21: time.servers[0]: expected a host name or an address"},
      {"/dev/vda", "vda", "23: storage.disk: expected a disk's device"},
      {"/dev/vda", "/dev/../etc/passwd", "23: storage.disk: expected a disk's device"},
      {"/dev/vda", "/tmp/disk", "23: storage.disk: expected a disk's device"},
      // Installing and upgrading.
      {"/dev/vda\n", "/dev/vda\ninstall:\n  disk: {serial: S1}\n", "23: storage.disk: exclude each other"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  wipe: true\n", "23: install.disk: missing"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  disk: {}\n", "23: install.disk: names no disk"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  disk: {path: vda}\n",
       "23: install.disk.path: expected a disk's device"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  disk: {serial: ' S1'}\n",
       "23: install.disk.serial: expected at most 128"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  disk: {minSize: 9, maxSize: 8}\n",
       "23: install.disk.maxSize: is less than"},
      {"storage:\n  disk: /dev/vda\n", "install:\n  disk: {minSize: -1}\n", "23: install.disk.minSize: expected"},
      {"storage:\n  disk: /dev/vda\n", "upgrade:\n  deadline: 59\n", "23: upgrade.deadline: expected 60 to 3600"},
      {"storage:\n  disk: /dev/vda\n", "upgrade:\n  deadline: 3601\n", "23: upgrade.deadline: expected 60 to 3600"},
      {"storage:\n  disk: /dev/vda\n", "upgrade:\n  drainTimeout: 3601\n",
       "23: upgrade.drainTimeout: expected at most 3600"},
      // Kubelet.
      {"https://10.0.2.2:6443", "http://10.0.2.2:6443", "26: kubelet.bootstrap.server: expected https://host"},
      {"https://10.0.2.2:6443", "https://10.0.2.2:99999", "26: kubelet.bootstrap.server: expected https://host"},
      {"https://10.0.2.2:6443", "https://a/b", "26: kubelet.bootstrap.server: expected https://host"},
      {"abcdef.0123456789abcdef", "abcdef-0123456789abcdef", "28: kubelet.bootstrap.token: expected a bootstrap token"},
      {"abcdef.0123456789abcdef", "short.token", "28: kubelet.bootstrap.token: expected a bootstrap token"},
      {"[10.96.0.10]", "[10.96.0]", "29: kubelet.clusterDNS[0]: expected an address"},
      {"cluster.local", "cluster local", "30: kubelet.clusterDomain: expected an RFC 1123 name"},
      {"zone: a", "zone: a b", "32: kubelet.nodeLabels.zone: expected a label's value"},
      {"zone: a", "a/b/c: d", "32: kubelet.nodeLabels.a/b/c: expected a label's name"},
      {"zone: a", "node-role.kubernetes.io/master: \"\"",
       "32: kubelet.nodeLabels.node-role.kubernetes.io/master: a kubelet may not label its own node within "
       "node-role.kubernetes.io"},
      {"nodeIP: 192.0.2.10", "nodeIP: node-1", "33: kubelet.nodeIP: expected an address"},
      {"nodeIP: 192.0.2.10", "kubeconfig: \"kind: Config\"",
       "26: kubelet.bootstrap: exclude each other: kubeconfig and bootstrap\n33: kubelet.kubeconfig: names no "
       "cluster's server"},
      {"nodeIP: 192.0.2.10", "kubeconfig: \"kind: Pod\"",
       "26: kubelet.bootstrap: exclude each other: kubeconfig and bootstrap\n33: kubelet.kubeconfig: expected a "
       "kubeconfig"},
      {"- name: demo", "- name: ../demo", "35: kubelet.staticPods[0].name: expected at most 63 of a-z"},
      {"kind: Pod", "kind: Deployment", "36: kubelet.staticPods[0].manifest: expected a Pod: kind is not Pod"},
      {"apiVersion: v1\n", "apiVersion: v2\n", "36: kubelet.staticPods[0].manifest: expected apiVersion v1"},
      {"metadata: {name: demo}", "metadata: {}", "36: kubelet.staticPods[0].manifest: the Pod has no metadata.name"},
      {"metadata: {name: demo}", "metadata: {name: A_B}",
       "36: kubelet.staticPods[0].manifest: metadata.name: expected an RFC 1123 name"},
      {"spec: {containers: [{name: a, image: b}]}", "spec: {}",
       "36: kubelet.staticPods[0].manifest: the Pod has no container with a name"},
      {"spec: {containers: [{name: a, image: b}]}", "spec: {containers: [{name: a}]}",
       "36: kubelet.staticPods[0].manifest: the Pod's first container has no image"},
      {"spec: {containers", "spec: {containers: {", "36: kubelet.staticPods[0].manifest: line 4 of it: not valid YAML"},
  };
  return changes;
}

TEST(BadConfigs, EachChangeIsRefusedWithItsPlace) {
  ASSERT_GE(Changes().size(), 100u);
  for (const Change& change : Changes()) {
    SCOPED_TRACE(absl::StrCat(change.from, " -> ", change.to.substr(0, 60)));
    std::string yaml = Good();
    size_t at = yaml.find(change.from);
    ASSERT_NE(at, std::string::npos);
    yaml.replace(at, std::strlen(change.from), change.to);
    Outcome outcome = ParseBounded(yaml);
    EXPECT_THAT(std::string(outcome.problems), testing::StartsWith(change.said));
    EXPECT_LT(outcome.seconds, kMaxSeconds);
  }
}

TEST(BadConfigs, ANodeNobodyCouldReach) {
  std::string yaml = Good();
  size_t begin = yaml.find("  - name: eth0"), end = yaml.find("  nameservers");
  yaml.replace(begin, end - begin, "  - name: eth0\n    mtu: 1500\n");
  EXPECT_STREQ(ParseBounded(yaml).problems,
               "10: network.interfaces: leaves the node without an address: give one interface dhcp or addresses\n");
}

std::string Repeated(absl::string_view text, size_t size) {
  std::string all;
  while (all.size() < size) all.append(text.data(), text.size());
  return all;
}

// Made to take time or memory. Each is tried bare, below a key that is unknown, and below one that is known.
TEST(BadConfigs, HostileTextsStayInBounds) {
  constexpr size_t kSize = (1 << 20) - 4096;
  std::string bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n";
  for (char c = 'b'; c <= 'i'; ++c) {
    absl::string_view name(&c, 1);
    char previous = c - 1;
    std::string alias = absl::StrCat("*", absl::string_view(&previous, 1));
    absl::StrAppend(&bomb, name, ": &", name, " [", Repeated(alias + ",", 24), alias, "]\n");
  }
  struct Hostile {
    const char* what;
    std::string text;
  } hostile[] = {
      {"YAML bomb", bomb},
      {"brackets", Repeated("[", kSize)},
      {"braces", Repeated("{a: ", kSize)},
      {"pairs of brackets", Repeated("[],", kSize)},
      {"dashes", Repeated("- ", kSize)},
      {"question marks", Repeated("? ", kSize)},
      {"a flow list", "[" + Repeated("a,", kSize) + "]"},
      {"a block list", Repeated("- a\n", kSize)},
      {"many keys",
       [] {
         std::string keys;
         for (int i = 0; keys.size() < kSize; ++i) absl::StrAppend(&keys, "k", i, ": v\n");
         return keys;
       }()},
      {"the same key", Repeated("k: v\n", kSize)},
      {"indentation",
       [] {
         std::string deep;
         for (int i = 0; deep.size() < kSize; ++i) absl::StrAppend(&deep, std::string(i, ' '), "a:\n");
         return deep;
       }()},
      {"one word", Repeated("x", kSize)},
      {"many words", Repeated("x ", kSize)},
      {"a quoted text", "\"" + Repeated("x", kSize) + "\""},
      {"a quote without end", "\"" + Repeated("x\\n", kSize)},
      {"escapes", "\"" + Repeated("\\u00e9", kSize) + "\""},
      {"a literal block", "|\n" + Repeated("  line\n", kSize)},
      {"a folded block", ">\n" + Repeated("  line\n", kSize)},
      {"blank lines", "|\n" + Repeated("\n", kSize) + "  x\n"},
      {"a comment", "#" + Repeated("#", kSize)},
      {"comments", Repeated("#\n", kSize)},
      {"spaces", Repeated(" ", kSize)},
      {"anchors", Repeated("- &a b\n", kSize)},
      {"documents", Repeated("---\n", kSize)},
      {"percent signs", Repeated("%", kSize)},
      {"directives", Repeated("%TAG !a! b\n", kSize)},
      {"colons", Repeated(": ", kSize)},
      {"commas", Repeated(",", kSize)},
      {"four bytes a letter", Repeated("\xf0\x9f\x98\x80", kSize)},
      {"ten megabytes", Repeated("a: b\n", 10 << 20)},
      {"ten megabytes of zero", std::string(10 << 20, '\0')},
      {"a mebibyte of zero", std::string(kSize, '\0')},
  };
  double slowest = 0;
  for (const Hostile& h : hostile) {
    for (const char* head : {"", "unknown:\n  ", "kubelet:\n  clusterDNS:\n  ", "kubelet:\n  nodeLabels:\n    ",
                             "kubelet:\n  staticPods:\n  - manifest: "}) {
      SCOPED_TRACE(absl::StrCat(h.what, " below '", head, "'"));
      Outcome outcome = ParseBounded(head + h.text);
      EXPECT_GT(outcome.count, 0u);
      EXPECT_LE(outcome.count, kMaxProblems);
      EXPECT_NE(outcome.problems[0], '0') << "a problem without a line";
      EXPECT_LT(outcome.seconds, kMaxSeconds);
      slowest = std::max(slowest, outcome.seconds);
    }
  }
  RecordProperty("slowest_ms", static_cast<int>(slowest * 1000));
  std::printf("slowest: %.1f ms\n", slowest * 1000);
}

// Every cut of the good config, and every byte of it changed, is refused or is a config; never a crash.
TEST(BadConfigs, CutsAndChangedBytesNeverCrash) {
  std::string good = Good();
  size_t step = kSanitized ? 23 : 5;
  for (size_t i = 0; i < good.size(); i += step) {
    ParsedMachineConfig cut = ParseMachineConfig(good.substr(0, i));
    ASSERT_NE(cut.config == nullptr, cut.problems.empty()) << "cut at " << i;
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ (1 + i % 255));
    ParsedMachineConfig parsed = ParseMachineConfig(changed);
    ASSERT_NE(parsed.config == nullptr, parsed.problems.empty()) << "byte " << i;
  }
}

}  // namespace
}  // namespace stele::config
