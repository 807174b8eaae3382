// What a change of the configuration does to the node, in words.
#pragma once

#include <string>
#include <vector>

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::machined {

// One action a line, in the order they are taken. `before` is null where the node has no configuration.
std::vector<std::string> PlanChange(const config::v1::MachineConfig* before, const config::v1::MachineConfig& after,
                                    services::Facts facts);

}  // namespace stele::machined
