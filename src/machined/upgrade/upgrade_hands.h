// What the upgrade controller has the rest of machined do.
#pragma once

#include "machined/upgrade/upgrade_controller.h"

namespace stele::machined {

class BootsController;
class InitClient;
class LogStore;

// Borrows all three, which outlive it.
UpgradeController::Hands UpgradeHands(InitClient& init, BootsController& boots, LogStore& logs);

}  // namespace stele::machined
