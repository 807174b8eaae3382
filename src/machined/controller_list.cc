// Every controller of the node, in start order. A new one is added here and nowhere else.
#include "machined/controller.h"
#include "machined/cri_controller.h"
#include "machined/dhcp_controller.h"
#include "machined/hostname_controller.h"
#include "machined/kept_logs.h"
#include "machined/network_config_controller.h"
#include "machined/network_controller.h"
#include "machined/network_status_controller.h"
#include "machined/resolver_controller.h"
#include "machined/time_controller.h"

namespace stele::machined {

std::vector<std::unique_ptr<Controller>> AllControllers() {
  std::vector<std::unique_ptr<Controller>> all;
  // What is, then what is wanted of each layer, then who makes it so (docs/network.md).
  all.push_back(std::make_unique<NetworkStatusController>());
  all.push_back(std::make_unique<NetworkConfigController>());
  all.push_back(std::make_unique<DhcpController>());
  all.push_back(std::make_unique<NetworkController>());
  all.push_back(std::make_unique<ResolverController>());
  all.push_back(std::make_unique<HostnameController>());
  all.push_back(std::make_unique<TimeController>());
  // The workload side.
  all.push_back(std::make_unique<CriController>());
  all.push_back(std::make_unique<KeptLogsController>());
  return all;
}

}  // namespace stele::machined
