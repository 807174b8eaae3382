#include "services/dhcpcd.h"

#include <linux/capability.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace stele::services {
namespace {

constexpr char kConfig[] = R"(ipv4only
noipv4ll
# The hardware address identifies us: the same to the server before and after a reinstallation.
clientid
option domain_name_servers, domain_name, domain_search, host_name, ntp_servers, interface_mtu, classless_static_routes
require dhcp_server_identifier
# A node's first address should not wait: no random pause, and no five seconds of ARP probes.
nodelay
noarp
# udev's plug-in would wait for interfaces to be renamed, which nobody does here.
nodev
# A lease outlives a restart of the client.
persistent
)";

}  // namespace

// Neither root nor CAP_NET_ADMIN: it needs raw packets and port 68. It refuses links whose sysctl
// promote_secondaries is 0, which it would set itself; machined sets it on every link.
ServiceSpec Dhcpcd(const Facts& facts) {
  ServiceSpec spec = {
      .name = "dhcpcd",
      .argv = {"/usr/sbin/dhcpcd", "--ipv4only", "--nobackground", "--noconfigure", "--config", "/etc/dhcpcd.conf",
               "--script", "/usr/lib/stele/dhcp-report", "--allowinterfaces", absl::StrJoin(facts.dhcp_links, ",")},
      .env = {kPath},
      .uid = kDhcpcdUser,
      .gid = kDhcpcdUser,
      .capabilities = 1ULL << CAP_NET_RAW | 1ULL << CAP_NET_BIND_SERVICE,
      .limits = {{RLIMIT_CORE, 0, 0}},
      .cgroup_settings = {{"memory.max", "32M"}, {"pids.max", "32"}},
      .stop_timeout_ms = 3'000,
  };
  DependOnFiles(DhcpcdFiles(), &spec);
  return spec;
}

std::vector<ServiceDirectory> DhcpcdDirectories(const Facts& facts) {
  std::vector<ServiceDirectory> directories = {{"/run/dhcpcd", 0755, kDhcpcdUser, kDhcpcdUser}};
  // Without it the last lease is forgotten, and a server is asked for any address: no reason to wait for /var.
  if (facts.data_ready) directories.push_back({"/var/lib/dhcpcd", 0750, kDhcpcdUser, kDhcpcdUser});
  return directories;
}

std::vector<ServiceFile> DhcpcdFiles() { return {{"/etc/dhcpcd.conf", kConfig}}; }

}  // namespace stele::services
