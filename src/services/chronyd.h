// The clock, set and kept by chrony.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// The servers to ask: the config's, else DHCP's. Without any chronyd is not run.
std::vector<std::string> TimeServers(const config::v1::MachineConfig& config, const Facts& facts);

ServiceSpec Chronyd(const std::vector<std::string>& servers);
std::vector<ServiceFile> ChronydFiles(const std::vector<std::string>& servers);
std::vector<ServiceDirectory> ChronydDirectories();

}  // namespace stele::services
