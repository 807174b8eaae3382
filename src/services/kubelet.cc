#include "services/kubelet.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "services/containerd.h"
#include "services/kubelet_config.h"
#include "services/workload.h"

namespace stele::services {
namespace {

using config::v1::KubeletConfig;
using config::v1::MachineConfig;

constexpr char kSettings[] = "/etc/kubernetes/kubelet.yaml";
constexpr char kGivenKubeconfig[] = "/etc/kubernetes/kubeconfig";
constexpr char kBootstrapKubeconfig[] = "/etc/kubernetes/bootstrap-kubeconfig";
// Written by the kubelet once it has joined, and kept with its certificates.
constexpr char kJoinedKubeconfig[] = "/var/lib/kubelet/kubeconfig";

// Flags that only some versions know; an unknown flag ends the kubelet. What can be set in the file is set there.
struct VersionedFlag {
  const char* flag;
  int first_minor;
  int last_minor;
};
constexpr VersionedFlag kVersionedFlags[] = {
    {"--container-runtime=remote", 20, 26},
    {"--container-runtime-endpoint=unix:///run/containerd/containerd.sock", 20, 26},  // from 1.27: in the file
    // Keeps its image collection off the pause image; later ones ask CRI what is pinned.
    {"--pod-infra-container-image=stele.local/pause:1", 20, 26},
};

std::string NodeLabels(const KubeletConfig& kubelet) {
  std::vector<std::string> labels;
  for (const auto& [name, value] : kubelet.node_labels()) labels.push_back(absl::StrCat(name, "=", value));
  std::sort(labels.begin(), labels.end());  // a proto map has no order, and the spec's hash must not change
  return absl::StrJoin(labels, ",");
}

std::vector<std::string> Arguments(const MachineConfig& config, const Facts& facts) {
  const KubeletConfig& kubelet = config.kubelet();
  std::vector<std::string> argv = {"/usr/bin/kubelet", absl::StrCat("--config=", kSettings),
                                   "--cert-dir=/var/lib/kubelet/pki",
                                   // Always: with the host name "(none)" static pods are never accepted.
                                   absl::StrCat("--hostname-override=", facts.hostname)};
  if (!kubelet.kubeconfig().empty()) {
    argv.push_back(absl::StrCat("--kubeconfig=", kGivenKubeconfig));
  } else if (kubelet.has_bootstrap()) {
    argv.push_back(absl::StrCat("--bootstrap-kubeconfig=", kBootstrapKubeconfig));
    argv.push_back(absl::StrCat("--kubeconfig=", kJoinedKubeconfig));
  }
  if (!kubelet.node_ip().empty()) argv.push_back(absl::StrCat("--node-ip=", kubelet.node_ip()));
  if (!kubelet.node_labels().empty()) argv.push_back(absl::StrCat("--node-labels=", NodeLabels(kubelet)));
  for (const VersionedFlag& flag : kVersionedFlags) {
    if (facts.kubelet_minor >= flag.first_minor && facts.kubelet_minor <= flag.last_minor) argv.push_back(flag.flag);
  }
  return argv;
}

}  // namespace

bool JoinsCluster(const MachineConfig& config) {
  return !config.kubelet().kubeconfig().empty() || config.kubelet().has_bootstrap();
}

ServiceSpec Kubelet(const MachineConfig& config, const Facts& facts) {
  ServiceSpec spec = {
      .name = "kubelet",
      .argv = Arguments(config, facts),
      .env = {kPath},
      .all_capabilities = true,
      .no_new_privs = false,
      .limits = {{RLIMIT_NOFILE, 1'000'000, 1'000'000}, {RLIMIT_CORE, 0, 0}},
      .oom_score_adj = -999,
      .join = kWorkload,
      .stop_timeout_ms = 10'000,
      .after = {kContainerd},
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kHttp,
                    .target = "http://127.0.0.1:10248/healthz",
                    .timeout_ms = 120'000},
  };
  DependOnFiles(KubeletFiles(config, facts), &spec);
  return spec;
}

std::vector<ServiceFile> KubeletFiles(const MachineConfig& config, const Facts& facts) {
  const KubeletConfig& kubelet = config.kubelet();
  std::vector<ServiceFile> files = {{kSettings, KubeletSettings(config, facts.kubelet_minor)}};
  auto optional = [&](const char* path, bool wanted, const std::string& content) {
    files.push_back({path, wanted ? std::make_optional(content) : std::nullopt, 0600});
  };
  bool given = !kubelet.kubeconfig().empty();
  bool bootstrap = !given && kubelet.has_bootstrap();
  optional(kGivenKubeconfig, given, kubelet.kubeconfig());
  optional(kBootstrapKubeconfig, bootstrap, bootstrap ? BootstrapKubeconfig(kubelet.bootstrap()) : "");
  optional(kClusterCa, given || bootstrap, given ? facts.cluster_ca : kubelet.bootstrap().ca());
  return files;
}

std::vector<ServiceFile> StaticPodFiles(const MachineConfig& config) {
  std::vector<ServiceFile> files;
  for (const config::v1::StaticPod& pod : config.kubelet().static_pods()) {
    files.push_back({absl::StrCat(kStaticPods, "/", pod.name(), ".yaml"), pod.manifest(), 0600});
  }
  return files;
}

std::vector<ServiceDirectory> KubeletDirectories() {
  return {
      {"/etc/kubernetes"},        {.path = kStaticPods, .mode = 0700, .only_listed_files = true},
      {"/var/lib/kubelet", 0750}, {"/var/log/pods"},
      {"/var/log/containers"},
  };
}

}  // namespace stele::services
