// The network's specs as each layer asks for them. Pure: configuration or lease in, specs out.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "stele/config/v1/machine_config.pb.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {

inline constexpr char kLayerConfig[] = "config";
inline constexpr char kLayerDhcp4[] = "dhcp4";
inline constexpr char kLayerDefault[] = "default";

// One layer's specs, by their ids.
struct NetworkSpecs {
  std::map<std::string, resource::v1::LinkSpec> links;
  std::map<std::string, resource::v1::AddressSpec> addresses;
  std::map<std::string, resource::v1::RouteSpec> routes;
  std::map<std::string, resource::v1::ResolverSpec> resolvers;
  std::map<std::string, resource::v1::HostnameSpec> hostnames;
};

// What must be known of a link that is there.
struct LinkFacts {
  std::string name;
  uint32_t index = 0;
  std::string hardware_address;
  bool physical = false;  // an Ethernet card, real or of the virtual machine; not CNI's links
};

// Loopback always; the links that are named, else every physical one by DHCP. The host name of
// the default layer is made of the first physical link's hardware address.
NetworkSpecs SpecsOfConfig(const config::v1::NetworkConfig& config, const std::vector<LinkFacts>& links);

// What the leases bring, by link name. Routes have the metric 1024 + the link's index, so that two
// links' default routes can both exist.
NetworkSpecs SpecsOfLeases(const std::map<std::string, resource::v1::DhcpLease>& leases,
                           const std::map<std::string, uint32_t>& link_indexes);

}  // namespace stele::machined
