// Every service of the node, from the configuration and what is known besides.
#pragma once

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::services {

// `config` is null until there is one: then what finds devices and addresses runs, and apid, which waits for its keys.
// Pure: equal arguments, equal sets.
ServiceSet AllServices(const config::v1::MachineConfig* config, const Facts& facts);

}  // namespace stele::services
