#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/chronyd.h"
#include "services/cni.h"
#include "services/kubelet.h"
#include "services/service_list.h"

namespace stele::services {
namespace {

using config::v1::MachineConfig;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Facts Known() {
  return {.data_ready = true, .hostname = "node-1", .dhcp_links = {"eth0", "eth1"}, .kubelet_minor = 32};
}

MachineConfig Standalone() {
  MachineConfig config;
  config.mutable_api()->set_client_ca("CA");
  config.mutable_api()->set_certificate("CERT");
  config.mutable_api()->set_key("KEY");
  config.mutable_time()->add_servers("time.example");
  auto* pod = config.mutable_kubelet()->add_static_pods();
  pod->set_name("demo");
  pod->set_manifest("kind: Pod\n");
  return config;
}

MachineConfig Joining() {
  MachineConfig config = Standalone();
  auto* bootstrap = config.mutable_kubelet()->mutable_bootstrap();
  bootstrap->set_server("https://10.0.2.2:6443");
  bootstrap->set_ca("PEM\n");
  bootstrap->set_token("abcdef.0123456789abcdef");
  config.mutable_kubelet()->add_cluster_dns("10.96.0.10");
  return config;
}

std::string Names(const ServiceSet& set) {
  return absl::StrJoin(set.services, " ", [](std::string* out, const ServiceSpec& spec) { *out += spec.name; });
}

const ServiceSpec& Find(const ServiceSet& set, absl::string_view name) {
  for (const ServiceSpec& spec : set.services) {
    if (spec.name == name) return spec;
  }
  ADD_FAILURE() << "no service " << name;
  static const ServiceSpec kNone;
  return kNone;
}

std::string Arguments(const ServiceSpec& spec) { return absl::StrJoin(spec.argv, " "); }

const ServiceFile& FindFile(const std::vector<ServiceFile>& files, absl::string_view path) {
  for (const ServiceFile& file : files) {
    if (file.path == path) return file;
  }
  ADD_FAILURE() << "no file " << path;
  static const ServiceFile kNone;
  return kNone;
}

std::string HashOf(const ServiceSpec& spec) {
  for (const std::string& variable : spec.env) {
    if (absl::StartsWith(variable, "STELE_FILES=")) return variable;
  }
  return "";
}

TEST(AllServices, GrowsWithWhatIsKnown) {
  MachineConfig config = Standalone();
  struct Case {
    const char* what;
    const MachineConfig* config;
    Facts facts;
    const char* services;
  } cases[] = {
      {"nothing", nullptr, {}, "apid udevd udev-trigger"},
      {"no config", nullptr, Known(), "apid udevd udev-trigger dhcpcd"},
      {"no disk yet", &config, {.hostname = "a", .kubelet_minor = 32}, "apid udevd udev-trigger"},
      {"no name yet",
       &config,
       {.data_ready = true, .kubelet_minor = 32},
       "apid udevd udev-trigger chronyd workload containerd"},
      {"kubelet not asked yet",
       &config,
       {.data_ready = true, .hostname = "a"},
       "apid udevd udev-trigger chronyd workload containerd"},
      {"all", &config, Known(), "apid udevd udev-trigger dhcpcd chronyd workload containerd kubelet"},
  };
  for (const Case& c : cases) EXPECT_EQ(Names(AllServices(c.config, c.facts)), c.services) << c.what;
}

// A machined that was just started knows little, and must not empty a folder whose files it would list a second later:
// the kubelet ends the pods of manifests that go away.
TEST(AllServices, AFolderIsClearedOnlyByWhoKnowsAllItsFiles) {
  MachineConfig config = Standalone();
  ServiceSet known = AllServices(&config, Known());
  const Facts partial[] = {{},
                           {.data_ready = true},
                           {.data_ready = true, .hostname = "a"},
                           {.data_ready = true, .kubelet_minor = 32},
                           {.hostname = "a", .kubelet_minor = 32}};
  auto check = [&known](const ServiceSet& set) {
    for (const ServiceDirectory& directory : set.directories) {
      if (!directory.only_listed_files) continue;
      for (const ServiceFile& file : known.files) {
        if (!absl::StartsWith(file.path, directory.path + "/")) continue;
        FindFile(set.files, file.path);  // fails where it is missing
      }
    }
  };
  for (const Facts& facts : partial) {
    check(AllServices(&config, facts));
    check(AllServices(nullptr, facts));
  }
}

// What init and the service manager rely on, for each spec there is.
TEST(AllServices, SpecsAreSound) {
  for (const MachineConfig& config : {Standalone(), Joining()}) {
    ServiceSet set = AllServices(&config, Known());
    std::set<std::string> earlier;
    for (const ServiceSpec& spec : set.services) {
      SCOPED_TRACE(spec.name);
      EXPECT_TRUE(earlier.insert(spec.name).second);
      EXPECT_LE(spec.name.size(), 32u);
      ASSERT_FALSE(spec.argv.empty());
      EXPECT_EQ(spec.argv[0][0], '/');
      EXPECT_THAT(spec.env, Contains(kPath));
      for (const std::string& after : spec.after) EXPECT_EQ(earlier.count(after), 1u) << "after " << after;
      EXPECT_TRUE(spec.join.empty() || earlier.count(spec.join) == 1) << "joins " << spec.join;
      EXPECT_FALSE(spec.uid != 0 && spec.all_capabilities);
      EXPECT_TRUE(spec.no_new_privs || spec.join == "workload" || spec.name == "workload");
    }
    std::set<std::string> paths;
    for (const ServiceFile& file : set.files) {
      EXPECT_TRUE(paths.insert(file.path).second) << file.path;
      std::string directory = file.path.substr(0, file.path.rfind('/'));
      bool listed = directory == "/etc";
      for (const ServiceDirectory& made : set.directories) listed |= made.path == directory;
      EXPECT_TRUE(listed) << "nobody makes the directory of " << file.path;
    }
  }
}

TEST(AllServices, OnlyFilesThatAreReadAtStartRestartAService) {
  MachineConfig config = Standalone();
  ServiceSet before = AllServices(&config, Known());
  config.mutable_kubelet()->mutable_static_pods(0)->set_manifest("kind: Pod\nmetadata: {}\n");
  config.mutable_api()->set_certificate("NEW");
  ServiceSet after = AllServices(&config, Known());
  EXPECT_EQ(HashOf(Find(before, "kubelet")), HashOf(Find(after, "kubelet")));
  EXPECT_EQ(HashOf(Find(before, "containerd")), HashOf(Find(after, "containerd")));
  EXPECT_EQ(HashOf(Find(before, "apid")), HashOf(Find(after, "apid")));
  config.mutable_kubelet()->add_cluster_dns("10.96.0.10");
  EXPECT_NE(HashOf(Find(before, "kubelet")), HashOf(Find(AllServices(&config, Known()), "kubelet")));
}

TEST(Apid, HasNoPowersAndKeepsItsSocket) {
  MachineConfig config = Standalone();
  ServiceSet set = AllServices(&config, Known());
  const ServiceSpec& apid = Find(set, "apid");
  EXPECT_EQ(apid.uid, 900u);
  EXPECT_EQ(apid.capabilities, 0u);
  EXPECT_FALSE(apid.all_capabilities);
  EXPECT_TRUE(apid.no_new_privs);
  ASSERT_EQ(apid.listen.size(), 1u);
  EXPECT_EQ(apid.listen[0].address, "tcp:[::]:50000");
  EXPECT_THAT(apid.cgroup_settings, Contains(std::pair<std::string, std::string>("memory.max", "128M")));
  const ServiceFile& key = FindFile(set.files, "/run/stele/apid/tls.pem");
  EXPECT_EQ(apid.readiness.file, key.path);
  EXPECT_THAT(*key.content, testing::EndsWith("KEY"));
  EXPECT_EQ(key.mode, 0400u);
  EXPECT_EQ(key.uid, 900u);
}

TEST(Workload, HidesTheNodeAndIsJoined) {
  MachineConfig config = Standalone();
  ServiceSet set = AllServices(&config, Known());
  EXPECT_THAT(Find(set, "workload").hide, ElementsAre("/run/stele"));
  EXPECT_TRUE(Find(set, "workload").namespaces.pid);
  EXPECT_EQ(Find(set, "containerd").join, "workload");
  EXPECT_EQ(Find(set, "containerd").kill_mode, KillMode::kProcess);
  EXPECT_EQ(Find(set, "kubelet").join, "workload");
}

TEST(Containerd, OneFileForAllVersions) {
  MachineConfig config = Standalone();
  EXPECT_EQ(*FindFile(AllServices(&config, Known()).files, "/etc/containerd/config.toml").content, R"(version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "stele.local/pause:1"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
)");
}

// At its start containerd removes the work folders of tasks that are gone, in those namespaces it finds below its
// state. That is in /run, new at each boot: without ours there, the folders of each boot's containers stay for good.
TEST(Containerd, FindsItsNamespaceAtEachStart) {
  MachineConfig config = Standalone();
  std::set<std::string> made;
  for (const ServiceDirectory& directory : AllServices(&config, Known()).directories) made.insert(directory.path);
  EXPECT_THAT(made, Contains("/run/containerd/io.containerd.runtime.v2.task/k8s.io"));
  EXPECT_THAT(made, Contains("/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io"));  // else it tells of an error
}

TEST(Dhcpcd, OneInstanceWithoutRoot) {
  ServiceSet set = AllServices(nullptr, Known());
  const ServiceSpec& dhcpcd = Find(set, "dhcpcd");
  EXPECT_EQ(Arguments(dhcpcd),
            "/usr/sbin/dhcpcd --ipv4only --nobackground --noconfigure --config /etc/dhcpcd.conf "
            "--script /usr/lib/stele/dhcp-report --allowinterfaces eth0,eth1");
  EXPECT_EQ(dhcpcd.uid, 902u);
  EXPECT_EQ(dhcpcd.capabilities, 0x2400u);  // 10 net_bind_service, 13 net_raw
}

TEST(Chronyd, PrefersTheConfigsServers) {
  MachineConfig config;
  Facts facts = {.dhcp_time_servers = {"192.0.2.1"}};
  EXPECT_THAT(TimeServers(config, facts), ElementsAre("192.0.2.1"));
  config.mutable_time()->add_servers("a");
  config.mutable_time()->add_servers("b");
  EXPECT_THAT(TimeServers(config, facts), ElementsAre("a", "b"));
  EXPECT_EQ(*ChronydFiles(TimeServers(config, facts))[0].content, R"(server a iburst
server b iburst
driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
port 0
cmdport 0
bindcmdaddress /
pidfile /
)");
  EXPECT_EQ(Chronyd({"a"}).capabilities, 1u << 25);
}

TEST(Cni, OursOnlyWithoutACluster) {
  EXPECT_THAT(*CniFiles(Standalone())[0].content, HasSubstr("\"type\": \"bridge\""));
  EXPECT_FALSE(CniFiles(Joining())[0].content.has_value());  // removed
}

TEST(Kubelet, FlagsByVersion) {
  constexpr char kOld[] =
      " --container-runtime=remote --container-runtime-endpoint=unix:///run/containerd/containerd.sock"
      " --pod-infra-container-image=stele.local/pause:1";
  for (int minor = 20; minor <= 36; ++minor) {
    Facts facts = Known();
    facts.kubelet_minor = minor;
    EXPECT_EQ(Arguments(Kubelet(Standalone(), facts)),
              absl::StrCat("/usr/bin/kubelet --config=/etc/kubernetes/kubelet.yaml --cert-dir=/var/lib/kubelet/pki"
                           " --hostname-override=node-1",
                           minor < 27 ? kOld : ""))
        << minor;
    std::string settings = *KubeletFiles(Standalone(), facts)[0].content;
    EXPECT_EQ(absl::StrContains(settings, "seccompDefault: true\n"), minor >= 25) << minor;
    EXPECT_THAT(settings, Not(HasSubstr("featureGates")));
  }
}

TEST(Kubelet, JoinsWithATokenOrAKubeconfig) {
  MachineConfig config = Joining();
  config.mutable_kubelet()->set_node_ip("10.0.2.15");
  (*config.mutable_kubelet()->mutable_node_labels())["zone"] = "a";
  (*config.mutable_kubelet()->mutable_node_labels())["arch"] = "x";
  EXPECT_THAT(Arguments(Kubelet(config, Known())),
              HasSubstr(" --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubeconfig"
                        " --kubeconfig=/var/lib/kubelet/kubeconfig --node-ip=10.0.2.15 --node-labels=arch=x,zone=a"));
  std::vector<ServiceFile> files = KubeletFiles(config, Known());
  EXPECT_EQ(*FindFile(files, "/etc/kubernetes/bootstrap-kubeconfig").content, R"(apiVersion: v1
kind: Config
clusters:
- name: cluster
  cluster:
    server: "https://10.0.2.2:6443"
    certificate-authority-data: UEVNCg==
users:
- name: bootstrap
  user:
    token: "abcdef.0123456789abcdef"
contexts:
- name: bootstrap
  context:
    cluster: cluster
    user: bootstrap
current-context: bootstrap
)");
  EXPECT_EQ(*FindFile(files, "/etc/kubernetes/ca.crt").content, "PEM\n");
  EXPECT_FALSE(FindFile(files, "/etc/kubernetes/kubeconfig").content.has_value());

  config.mutable_kubelet()->set_kubeconfig("given");  // wins over the token
  Facts facts = Known();
  facts.cluster_ca = "OTHER";
  EXPECT_THAT(Arguments(Kubelet(config, facts)), HasSubstr(" --kubeconfig=/etc/kubernetes/kubeconfig"));
  EXPECT_THAT(Arguments(Kubelet(config, facts)), Not(HasSubstr("bootstrap")));
  files = KubeletFiles(config, facts);
  EXPECT_EQ(*FindFile(files, "/etc/kubernetes/kubeconfig").content, "given");
  EXPECT_EQ(FindFile(files, "/etc/kubernetes/kubeconfig").mode, 0600u);
  EXPECT_EQ(*FindFile(files, "/etc/kubernetes/ca.crt").content, "OTHER");
}

TEST(Kubelet, SettingsAloneAndJoined) {
  constexpr char kCommon[] = R"(apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/kubernetes/manifests
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failSwapOn: false
protectKernelDefaults: true
makeIPTablesUtilChains: false
readOnlyPort: 0
resolvConf: /etc/resolv.conf
volumePluginDir: /var/lib/kubelet/volumeplugins
containerLogMaxSize: 10Mi
systemReserved:
  cpu: 50m
  memory: 64Mi
kubeReserved:
  cpu: 100m
  memory: 192Mi
seccompDefault: true
clusterDomain: "cluster.local"
)";
  EXPECT_EQ(*KubeletFiles(Standalone(), Known())[0].content, absl::StrCat(kCommon, R"(enableServer: false
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: false
authorization:
  mode: AlwaysAllow
)"));
  EXPECT_EQ(*KubeletFiles(Joining(), Known())[0].content, absl::StrCat(kCommon, R"(clusterDNS:
- "10.96.0.10"
rotateCertificates: true
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: /etc/kubernetes/ca.crt
authorization:
  mode: Webhook
)"));
}

TEST(Kubelet, StaticPodsAreFilesOfAFolderOfTheirOwn) {
  std::vector<ServiceFile> files = StaticPodFiles(Standalone());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, "/etc/kubernetes/manifests/demo.yaml");
  EXPECT_EQ(files[0].mode, 0600u);
  EXPECT_THAT(StaticPodFiles(Joining()), Not(IsEmpty()));
}

}  // namespace
}  // namespace stele::services
