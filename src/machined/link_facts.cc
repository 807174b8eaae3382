#include "machined/link_facts.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace stele::machined {

std::vector<LinkFacts> FactsOfLinks(const Store& store, const std::string& sysfs) {
  std::vector<LinkFacts> facts;
  for (const auto& [name, link] : store.All<resource::v1::Link>()) {
    // Bridges, veths and tunnels have no device.
    bool physical =
        link.kind() == "ether" && ::access(absl::StrCat(sysfs, "/class/net/", name, "/device").c_str(), F_OK) == 0;
    facts.push_back({name, link.index(), link.hardware_address(), physical});
  }
  return facts;
}

}  // namespace stele::machined
