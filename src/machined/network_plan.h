// What must change in the kernel so that it has what the specs want. Pure: looks at both sides,
// touches neither.
//
// Taken away is only what we put there (kOurProtocol); what somebody else made and a spec wants too
// is left as it is, and is theirs. A spec whose link does not exist waits for it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "machined/network_kernel.h"

namespace stele::machined {

struct WantedLink {
  std::string name;
  bool up = true;
  uint32_t mtu = 0;
};

struct WantedAddress {
  std::string link;
  IpPrefix prefix;
};

struct WantedRoute {
  std::string link;
  IpPrefix destination;
  std::string gateway;  // bytes; empty for a direct one
  uint32_t metric = 0;
};

struct WantedNetwork {
  std::vector<WantedLink> links;
  std::vector<WantedAddress> addresses;
  std::vector<WantedRoute> routes;
};

struct LinkChange {
  uint32_t link = 0;
  std::string name;
  bool up = true;
  uint32_t mtu = 0;  // 0: stays
};
std::vector<LinkChange> PlanLinks(const WantedNetwork& wanted, const std::vector<KernelLink>& links);

// To be made in this order: removing an address takes those of its subnet with it.
struct AddressChanges {
  std::vector<KernelAddress> remove;
  std::vector<KernelAddress> add;
};
AddressChanges PlanAddresses(const WantedNetwork& wanted, const std::vector<KernelLink>& links,
                             const std::vector<KernelAddress>& addresses);

struct RouteChanges {
  std::vector<KernelRoute> remove;
  struct Add {
    KernelRoute route;
    bool on_link = false;
  };
  std::vector<Add> add;  // direct ones first: gateways are reached through them
};
// `routes` as they are after the addresses were changed: the kernel drops routes with addresses.
RouteChanges PlanRoutes(const WantedNetwork& wanted, const std::vector<KernelLink>& links,
                        const std::vector<KernelRoute>& routes);

}  // namespace stele::machined
