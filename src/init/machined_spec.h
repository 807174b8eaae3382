// How machined is run: the one service that nobody has to define.
#pragma once

#include "base/service_spec.h"

namespace stele::init {

// `real_boot`: PID 1 of a machine and not of a namespace.
ServiceSpec MachinedSpec(bool real_boot);

}  // namespace stele::init
