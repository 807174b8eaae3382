// What the kubelet's files say.
#pragma once

#include <string>

#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

inline constexpr char kStaticPods[] = "/etc/kubernetes/manifests";
inline constexpr char kClusterCa[] = "/etc/kubernetes/ca.crt";

// KubeletConfiguration, YAML. Fields that a version does not know are ignored by it; feature gates are
// not, so there are none.
std::string KubeletSettings(const config::v1::MachineConfig& config, int kubelet_minor);

std::string BootstrapKubeconfig(const config::v1::BootstrapConfig& bootstrap);

}  // namespace stele::services
