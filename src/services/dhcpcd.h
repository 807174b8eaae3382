// The DHCPv4 client: asks and reports; machined alone configures the kernel.
#pragma once

#include "services/service_set.h"

namespace stele::services {

// One instance for all links of facts.dhcp_links, which must not be empty.
ServiceSpec Dhcpcd(const Facts& facts);
std::vector<ServiceFile> DhcpcdFiles();
std::vector<ServiceDirectory> DhcpcdDirectories(const Facts& facts);

}  // namespace stele::services
