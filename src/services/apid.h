// apid: the node's API on the network.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

ServiceSpec Apid(const config::v1::MachineConfig& config);
std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config);
std::vector<ServiceDirectory> ApidDirectories();

}  // namespace stele::services
