// Specs → kernel: the one place that changes links, addresses and routes.
#pragma once

#include <optional>

#include "machined/controller.h"
#include "machined/network_kernel.h"
#include "machined/network_plan.h"

namespace stele::machined {

// Looks at the kernel anew each time, so what somebody else took away comes back. Until there are
// link specs nobody has said what the network should be, and nothing is touched but loopback.
class NetworkController : public Controller {
 public:
  absl::string_view name() const override { return "network"; }
  std::vector<std::string> watches() const override {
    return {"linkspecs", "addressspecs", "routespecs", "links", "addresses", "routes"};
  }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;

 private:
  absl::Status ApplyLinks(const WantedNetwork& wanted);
  absl::Status ApplyAddresses(const WantedNetwork& wanted);
  absl::Status ApplyRoutes(const WantedNetwork& wanted);

  std::optional<NetworkKernel> kernel_;
};

// The store's specs, configuration before DHCP; a spec that cannot be parsed is left out and told in `problem`.
WantedNetwork WantedOf(const Store& store, absl::Status* problem);

}  // namespace stele::machined
