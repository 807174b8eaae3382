#include "services/containerd.h"

#include "absl/strings/str_cat.h"
#include "services/workload.h"

namespace stele::services {
namespace {

// Version 2 is what 1.6, 1.7 and 2.x all read; 1.x refuses version 3. No plugin is disabled: it saves
// no memory, and some of them take CRI down silently.
std::string ConfigToml() {
  return absl::StrCat(R"(version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = ")",
                      kContainerdSocket, R"("

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = ")",
                      kPauseImage, R"("

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

}  // namespace

ServiceSpec Containerd() {
  ServiceSpec spec = {
      .name = kContainerd,
      .argv = {"/usr/bin/containerd", "--config", "/etc/containerd/config.toml"},
      .env = {kPath},
      .all_capabilities = true,
      .no_new_privs = false,
      // Containers inherit these.
      .limits = {{RLIMIT_NOFILE, 1'048'576, 1'048'576}, {RLIMIT_CORE, 0, RLIM_INFINITY}},
      .oom_score_adj = -999,
      .join = kWorkload,
      // The shims hold the pods, share its cgroup, and outlive it.
      .kill_mode = KillMode::kProcess,
      .stop_timeout_ms = 10'000,
      .after = {kWorkload},
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kCri, .target = kContainerdSocket, .timeout_ms = 60'000},
  };
  DependOnFiles(ContainerdFiles(), &spec);
  return spec;
}

std::vector<ServiceDirectory> ContainerdDirectories() {
  return {{"/etc/containerd"},
          {"/run/containerd", 0711},
          // Of each container there is a folder below root, too, which outlives a boot. Those whose task does not run
          // containerd removes at its start, but only in namespaces it finds below its state: none, once /run is new.
          {"/run/containerd/io.containerd.runtime.v2.task", 0711},
          {"/run/containerd/io.containerd.runtime.v2.task/k8s.io", 0711},
          {"/var/lib/containerd", 0711},
          {"/var/lib/containerd/io.containerd.runtime.v2.task", 0711},
          {"/var/lib/containerd/io.containerd.runtime.v2.task/k8s.io", 0711}};
}

std::vector<ServiceFile> ContainerdFiles() { return {{"/etc/containerd/config.toml", ConfigToml()}}; }

}  // namespace stele::services
