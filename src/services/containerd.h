// containerd, in the workload namespace, and its settings.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

inline constexpr char kContainerd[] = "containerd";
inline constexpr char kContainerdSocket[] = "/run/containerd/containerd.sock";
// The image of every pod's sandbox. No registry has it: machined imports it from the root image.
inline constexpr char kPauseImage[] = "stele.local/pause:1";

ServiceSpec Containerd();
std::vector<ServiceFile> ContainerdFiles();
std::vector<ServiceDirectory> ContainerdDirectories();

}  // namespace stele::services
