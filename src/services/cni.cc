#include "services/cni.h"

#include "services/kubelet.h"

namespace stele::services {
namespace {

// No ipMasq, portmap or firewall: those plugins call iptables, which the image does not have. Pods and
// node reach each other; the way out needs a route to 10.85.0.0/16 in the network around.
// Leases live in /run, like the sandboxes that hold them.
constexpr char kBridge[] = R"({
  "cniVersion": "0.4.0",
  "name": "stele",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni/networks",
        "ranges": [[{"subnet": "10.85.0.0/16"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
)";

}  // namespace

std::vector<ServiceDirectory> CniDirectories() { return {{"/etc/cni"}, {"/etc/cni/net.d"}, {"/var/lib/cni"}}; }

std::vector<ServiceFile> CniFiles(const config::v1::MachineConfig& config) {
  ServiceFile file = {"/etc/cni/net.d/90-stele.conflist", std::nullopt};
  if (!JoinsCluster(config)) file.content = kBridge;
  return {file};
}

}  // namespace stele::services
