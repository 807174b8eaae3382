#include "services/kubelet_config.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "services/kubelet.h"

namespace stele::services {
namespace {

// A text as YAML reads it back: double quotes, which JSON and YAML share. Control characters were
// refused with the config.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace

std::string KubeletSettings(const config::v1::MachineConfig& config, int kubelet_minor) {
  const config::v1::KubeletConfig& kubelet = config.kubelet();
  std::string yaml = absl::StrCat(R"(apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: )",
                                  kStaticPods, R"(
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
)");
  // 1.22 to 1.24 know the field, and refuse it without a feature gate.
  if (kubelet_minor >= 25) yaml += "seccompDefault: true\n";
  absl::StrAppend(&yaml, "clusterDomain: ",
                  Quoted(kubelet.cluster_domain().empty() ? "cluster.local" : kubelet.cluster_domain()), "\n");
  if (kubelet.cluster_dns_size() > 0) yaml += "clusterDNS:\n";
  for (const std::string& server : kubelet.cluster_dns()) absl::StrAppend(&yaml, "- ", Quoted(server), "\n");
  if (JoinsCluster(config)) {
    absl::StrAppend(&yaml, R"(rotateCertificates: true
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
  x509:
    clientCAFile: )",
                    kClusterCa, R"(
authorization:
  mode: Webhook
)");
  } else {
    // Nobody can prove who they are without an API server: no port. (Webhooks without one are fatal on 1.36.)
    yaml += R"(enableServer: false
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: false
authorization:
  mode: AlwaysAllow
)";
  }
  return yaml;
}

std::string BootstrapKubeconfig(const config::v1::BootstrapConfig& bootstrap) {
  return absl::StrCat(R"(apiVersion: v1
kind: Config
clusters:
- name: cluster
  cluster:
    server: )",
                      Quoted(bootstrap.server()), R"(
    certificate-authority-data: )",
                      absl::Base64Escape(bootstrap.ca()), R"(
users:
- name: bootstrap
  user:
    token: )",
                      Quoted(bootstrap.token()), R"(
contexts:
- name: bootstrap
  context:
    cluster: cluster
    user: bootstrap
current-context: bootstrap
)");
}

}  // namespace stele::services
