// The device manager: names below /dev/disk, permissions, modules for hardware.
#pragma once

#include "services/service_set.h"

namespace stele::services {

ServiceSpec Udevd();
// A one-time task: has the kernel tell udevd again of what was there before it.
ServiceSpec UdevTrigger();

}  // namespace stele::services
