// What has to leave before a machine ends for an upgrade, as seen by whoever drains it.
//
// The phase itself is the controller's (upgrade_plan.cc): it asks once a second, shows the answer, and ends at
// `upgrade.drainTimeout` whatever the answer. UpgradeController::Hands::drain is where a client of the cluster goes,
// which cordons and evicts; without one the node only looks.
#pragma once

#include <string>

#include "machined/controller.h"

namespace stele::machined {

struct DrainCheck {
  bool done = true;
  std::string waits_for;  // "pods default/web, default/db"
};

// Done when no pod runs but static ones, which nobody can move.
DrainCheck PodsHaveLeft(Node& node);

}  // namespace stele::machined
