// What the specs need to know of the links that are there.
#pragma once

#include <string>
#include <vector>

#include "machined/network_specs.h"
#include "machined/store.h"

namespace stele::machined {

// From the store's links; `sysfs` tells which have a device behind them.
std::vector<LinkFacts> FactsOfLinks(const Store& store, const std::string& sysfs = "/sys");

}  // namespace stele::machined
