// The kubelet, in the workload namespace, alone or joined to a cluster; versions 1.20 to 1.36.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// Whether the config names an API server. Without one the kubelet runs static pods only.
bool JoinsCluster(const config::v1::MachineConfig& config);

// Needs facts.hostname and facts.kubelet_minor.
ServiceSpec Kubelet(const config::v1::MachineConfig& config, const Facts& facts);
// What it reads at its start.
std::vector<ServiceFile> KubeletFiles(const config::v1::MachineConfig& config, const Facts& facts);
// What it watches: a change needs no restart.
std::vector<ServiceFile> StaticPodFiles(const config::v1::MachineConfig& config);
std::vector<ServiceDirectory> KubeletDirectories();

}  // namespace stele::services
