#include "machined/network_config_controller.h"

#include "machined/link_facts.h"
#include "machined/network_specs.h"

namespace stele::machined {

absl::Status NetworkConfigController::Reconcile() {
  if (node_->config() == nullptr) return absl::OkStatus();
  Store& store = node_->store();
  NetworkSpecs specs = SpecsOfConfig(node_->config()->network(), FactsOfLinks(store, sysfs_));
  RETURN_IF_ERROR(store.Replace(name(), specs.links));
  RETURN_IF_ERROR(store.Replace(name(), specs.addresses));
  RETURN_IF_ERROR(store.Replace(name(), specs.routes));
  RETURN_IF_ERROR(store.Replace(name(), specs.resolvers));
  return store.Replace(name(), specs.hostnames);
}

}  // namespace stele::machined
