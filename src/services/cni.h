// The pod network of a node without a cluster.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// A bridge for static pods, unless the node joins a cluster: there the cluster's own CNI counts, and
// with ours in place the node would call itself ready before that is installed. Its name sorts behind
// those of CNI installers, since containerd takes the first.
std::vector<ServiceFile> CniFiles(const config::v1::MachineConfig& config);
std::vector<ServiceDirectory> CniDirectories();

}  // namespace stele::services
