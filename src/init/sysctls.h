// Kernel settings, as a table.
#pragma once

#include <cstddef>

namespace stele::init {

enum class SysctlTime {
  kBoot,
  kBeforeDevices,  // what a network device copies once, when it is made
  kAfterModules,   // what is there with a module only
};

// Writes those of `time`; how many could not be, each with a line in the log. A setting that this
// kernel does not have is passed over.
size_t ApplySysctls(SysctlTime time);

}  // namespace stele::init
