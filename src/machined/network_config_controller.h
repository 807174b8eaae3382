// Configuration → link, address, route, resolver and hostname specs of the layers config and default.
#pragma once

#include "machined/controller.h"

namespace stele::machined {

// Without a configuration it says nothing, and the network stays as it is: a machined that was
// just restarted must not take away what the configuration, a moment later, asks for again.
class NetworkConfigController : public Controller {
 public:
  explicit NetworkConfigController(std::string sysfs = "/sys") : sysfs_(std::move(sysfs)) {}
  absl::string_view name() const override { return "network-config"; }
  std::vector<std::string> watches() const override { return {"links"}; }
  absl::Status Reconcile() override;

 private:
  std::string sysfs_;
};

}  // namespace stele::machined
