// What differs between the init that ships and one under test.
#pragma once

#include "base/service_spec.h"

namespace stele::init {

struct Settings {
  ServiceSpec machined;

  // The shipped ones. `real_boot`: PID 1 of a machine and not of a namespace.
  static Settings Shipped(bool real_boot);
};

}  // namespace stele::init
