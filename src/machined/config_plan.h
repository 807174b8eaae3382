// What a change of the configuration does to the node, and what it needs: told before it is done.
#pragma once

#include <string>
#include <vector>

#include "services/service_set.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::machined {

enum class ChangeNeed : uint8_t {
  kNothing,  // done at once
  kService,  // a service starts, restarts or stops
  kReboot,   // counts from the next boot on
};

struct PlannedChange {
  std::string action;  // for people
  ChangeNeed need = ChangeNeed::kNothing;
  std::string service;  // that starts, restarts or stops
};
using ConfigPlan = std::vector<PlannedChange>;

// In the order they are done. `before` is null where the node has no configuration.
ConfigPlan PlanChange(const config::v1::MachineConfig* before, const config::v1::MachineConfig& after,
                      services::Facts facts);

// One line each.
std::vector<std::string> PlanLines(const ConfigPlan& plan);

// The keys that a row of the plan's table tells of, such as "network.interfaces"; what is below one is told with it. A
// test holds them against the schema.
std::vector<std::string> PlannedKeys();

}  // namespace stele::machined
