// apid: the node's API on the network.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// The same with any configuration, and without one: it waits for its files, and takes new ones while it runs.
ServiceSpec Apid();
std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config);
std::vector<ServiceDirectory> ApidDirectories();

}  // namespace stele::services
