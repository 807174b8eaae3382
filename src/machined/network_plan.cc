#include "machined/network_plan.h"

#include <algorithm>
#include <map>

namespace stele::machined {
namespace {

std::map<std::string, const KernelLink*> ByName(const std::vector<KernelLink>& links) {
  std::map<std::string, const KernelLink*> by_name;
  for (const KernelLink& link : links) by_name[link.name] = &link;
  return by_name;
}

bool SameAddress(const KernelAddress& a, const KernelAddress& b) { return a.link == b.link && a.prefix == b.prefix; }

// The kernel identifies a route so: two that differ elsewhere cannot both exist.
bool SameKey(const KernelRoute& a, const KernelRoute& b) {
  return a.destination == b.destination && a.metric == b.metric &&
         (a.destination.family == AF_INET || a.link == b.link);
}

bool SameRoute(const KernelRoute& a, const KernelRoute& b) {
  return SameKey(a, b) && a.link == b.link && a.gateway == b.gateway;
}

bool Covers(const IpPrefix& prefix, const std::string& address) {
  IpPrefix other{prefix.family, address, prefix.length};
  return prefix.bytes.size() == address.size() && NetworkOf(prefix) == NetworkOf(other);
}

// Whether a gateway is a neighbour by one of the link's addresses, or by a direct route.
bool Reachable(const WantedNetwork& wanted, const WantedRoute& route) {
  auto address_covers = [&](const WantedAddress& address) {
    return address.link == route.link && Covers(address.prefix, route.gateway);
  };
  auto route_covers = [&](const WantedRoute& direct) {
    return direct.link == route.link && direct.gateway.empty() && Covers(direct.destination, route.gateway);
  };
  return std::any_of(wanted.addresses.begin(), wanted.addresses.end(), address_covers) ||
         std::any_of(wanted.routes.begin(), wanted.routes.end(), route_covers);
}

}  // namespace

std::vector<LinkChange> PlanLinks(const WantedNetwork& wanted, const std::vector<KernelLink>& links) {
  std::map<std::string, const KernelLink*> by_name = ByName(links);
  std::vector<LinkChange> changes;
  for (const WantedLink& link : wanted.links) {
    auto found = by_name.find(link.name);
    if (found == by_name.end()) continue;
    bool other_mtu = link.mtu != 0 && link.mtu != found->second->mtu;
    if (link.up == found->second->up && !other_mtu) continue;
    changes.push_back({found->second->index, link.name, link.up, other_mtu ? link.mtu : 0});
  }
  return changes;
}

AddressChanges PlanAddresses(const WantedNetwork& wanted, const std::vector<KernelLink>& links,
                             const std::vector<KernelAddress>& addresses) {
  std::map<std::string, const KernelLink*> by_name = ByName(links);
  std::vector<KernelAddress> goal;
  for (const WantedAddress& address : wanted.addresses) {
    auto found = by_name.find(address.link);
    if (found != by_name.end()) goal.push_back({found->second->index, address.prefix, 0, true});
  }
  auto in = [](const std::vector<KernelAddress>& all, const KernelAddress& one) {
    return std::any_of(all.begin(), all.end(), [&](const KernelAddress& other) { return SameAddress(one, other); });
  };
  AddressChanges changes;
  for (const KernelAddress& address : addresses) {
    if (address.ours && !in(goal, address)) changes.remove.push_back(address);
  }
  for (const KernelAddress& address : goal) {
    if (!in(addresses, address) && !in(changes.add, address)) changes.add.push_back(address);
  }
  return changes;
}

RouteChanges PlanRoutes(const WantedNetwork& wanted, const std::vector<KernelLink>& links,
                        const std::vector<KernelRoute>& routes) {
  std::map<std::string, const KernelLink*> by_name = ByName(links);
  std::vector<RouteChanges::Add> goal;
  for (const WantedRoute& route : wanted.routes) {
    auto found = by_name.find(route.link);
    // A route through a link that is down cannot be made; the link's change brings us here again.
    if (found == by_name.end() || !found->second->up) continue;
    KernelRoute kernel{NetworkOf(route.destination), route.gateway, found->second->index, route.metric, kOurProtocol};
    bool taken = std::any_of(goal.begin(), goal.end(),
                             [&](const RouteChanges::Add& other) { return SameKey(other.route, kernel); });
    if (taken) continue;  // the first asked wins: layers come in order
    goal.push_back({kernel, !route.gateway.empty() && !Reachable(wanted, route)});
  }
  std::stable_sort(goal.begin(), goal.end(), [](const RouteChanges::Add& a, const RouteChanges::Add& b) {
    return a.route.gateway.empty() > b.route.gateway.empty();
  });
  RouteChanges changes;
  for (const KernelRoute& route : routes) {
    if (route.protocol != kOurProtocol) continue;
    bool kept = std::any_of(goal.begin(), goal.end(),
                            [&](const RouteChanges::Add& one) { return SameRoute(one.route, route); });
    if (!kept) changes.remove.push_back(route);
  }
  for (const RouteChanges::Add& one : goal) {
    bool there = std::any_of(routes.begin(), routes.end(),
                             [&](const KernelRoute& route) { return SameRoute(one.route, route); });
    if (!there) changes.add.push_back(one);
  }
  return changes;
}

}  // namespace stele::machined
