// apid's keys. Its spec is init's, too (base/first_services.h): it is the same with any configuration, and without one
// apid waits for these files.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// The serial numbers of certificates that it refuses, a line each. Before the keys.
ServiceFile ApidRevoked(const std::string& serials);
std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config);
std::vector<ServiceDirectory> ApidDirectories();

}  // namespace stele::services
