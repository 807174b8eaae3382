#include "machined/network_specs.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

constexpr uint32_t kDefaultMetric = 1024;

void AddLink(NetworkSpecs& specs, const std::string& name, uint32_t mtu, bool dhcp4) {
  resource::v1::LinkSpec& link = specs.links[name];
  link.set_up(true);
  link.set_mtu(mtu);
  link.set_dhcp4(dhcp4);
}

void AddAddress(NetworkSpecs& specs, const std::string& layer, const std::string& link, const std::string& address) {
  resource::v1::AddressSpec& spec = specs.addresses[absl::StrCat(layer, "/", link, "/", address)];
  spec.set_link(link);
  spec.set_address(address);
  spec.set_layer(layer);
}

void AddRoute(NetworkSpecs& specs, const std::string& layer, const std::string& link, absl::string_view destination,
              absl::string_view gateway, uint32_t metric) {
  resource::v1::RouteSpec& spec = specs.routes[absl::StrCat(layer, "/", destination, "/", metric, "/", link)];
  spec.set_destination(std::string(destination));
  spec.set_gateway(std::string(gateway));
  spec.set_link(link);
  spec.set_metric(metric);
  spec.set_layer(layer);
}

// stele-525400123456, of the physical link with the smallest index; "stele" on a node without one.
std::string DefaultHostname(const std::vector<LinkFacts>& links) {
  const LinkFacts* first = nullptr;
  for (const LinkFacts& link : links) {
    if (link.physical && !link.hardware_address.empty() && (first == nullptr || link.index < first->index))
      first = &link;
  }
  if (first == nullptr) return "stele";
  std::string digits = first->hardware_address;
  digits.erase(std::remove(digits.begin(), digits.end(), ':'), digits.end());
  return absl::StrCat("stele-", digits);
}

}  // namespace

NetworkSpecs SpecsOfConfig(const config::v1::NetworkConfig& config, const std::vector<LinkFacts>& links) {
  NetworkSpecs specs;
  AddLink(specs, "lo", 0, false);
  for (const config::v1::InterfaceConfig& interface : config.interfaces()) {
    AddLink(specs, interface.name(), interface.mtu(), interface.dhcp());
    for (const std::string& address : interface.addresses()) AddAddress(specs, kLayerConfig, interface.name(), address);
    for (const config::v1::RouteConfig& route : interface.routes()) {
      AddRoute(specs, kLayerConfig, interface.name(), route.to(), route.via(),
               route.metric() == 0 ? kDefaultMetric : route.metric());
    }
  }
  if (config.interfaces().empty()) {
    for (const LinkFacts& link : links) {
      if (link.physical) AddLink(specs, link.name, 0, true);
    }
  }
  if (!config.nameservers().empty() || !config.search().empty()) {
    resource::v1::ResolverSpec& resolver = specs.resolvers[kLayerConfig];
    *resolver.mutable_servers() = config.nameservers();
    *resolver.mutable_search() = config.search();
  }
  if (!config.hostname().empty()) specs.hostnames[kLayerConfig].set_hostname(config.hostname());
  specs.hostnames[kLayerDefault].set_hostname(DefaultHostname(links));
  return specs;
}

NetworkSpecs SpecsOfLeases(const std::map<std::string, resource::v1::DhcpLease>& leases,
                           const std::map<std::string, uint32_t>& link_indexes) {
  NetworkSpecs specs;
  resource::v1::ResolverSpec resolver;
  for (const auto& [link, lease] : leases) {
    auto index = link_indexes.find(link);
    uint32_t metric = kDefaultMetric + (index == link_indexes.end() ? 0 : index->second);
    AddAddress(specs, kLayerDhcp4, link, lease.address());
    for (const std::string& route : lease.routes()) {
      std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(route, absl::MaxSplits(' ', 1));
      // A gateway of 0.0.0.0 means a neighbour without one.
      AddRoute(specs, kLayerDhcp4, link, parts.first, parts.second == "0.0.0.0" ? "" : parts.second, metric);
    }
    if (lease.routes().empty() && !lease.gateway().empty()) {
      AddRoute(specs, kLayerDhcp4, link, "default", lease.gateway(), metric);
    }
    for (const std::string& server : lease.servers()) {
      if (std::find(resolver.servers().begin(), resolver.servers().end(), server) == resolver.servers().end()) {
        resolver.add_servers(server);
      }
    }
    for (const std::string& domain : lease.search()) {
      if (std::find(resolver.search().begin(), resolver.search().end(), domain) == resolver.search().end()) {
        resolver.add_search(domain);
      }
    }
    if (!lease.hostname().empty() && specs.hostnames.empty())
      specs.hostnames[kLayerDhcp4].set_hostname(lease.hostname());
  }
  if (!resolver.servers().empty()) specs.resolvers[kLayerDhcp4] = resolver;
  return specs;
}

}  // namespace stele::machined
