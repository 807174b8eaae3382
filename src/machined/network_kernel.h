// Links, addresses and routes of this network namespace, read from and written to the kernel.
// Every call is answered at once; any thread, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/netlink.h"
#include "base/status.h"
#include "machined/ip_prefix.h"

namespace stele::machined {

// Marks addresses (IFA_PROTO) and routes (rtm_protocol) as ours in the kernel itself, so that a new
// machined knows which ones to take away and which belong to CNI, the kernel or somebody else.
inline constexpr uint8_t kOurProtocol = 83;

struct KernelLink {
  uint32_t index = 0;
  std::string name;
  std::string kind;               // ether, loopback, or what drives a virtual one: bridge, veth …
  std::string operational_state;  // as RFC 2863 names them, lower case
  bool up = false;                // as somebody asked
  bool carrier = false;
  uint32_t mtu = 0;
  std::string hardware_address;
};

struct KernelAddress {
  uint32_t link = 0;
  IpPrefix prefix;
  uint8_t scope = 0;
  bool ours = false;
};

// Of the main table, unicast.
struct KernelRoute {
  IpPrefix destination;
  std::string gateway;  // bytes; empty for a direct one
  uint32_t link = 0;    // 0 when it goes over several
  uint32_t metric = 0;
  uint8_t protocol = 0;
};

class NetworkKernel {
 public:
  static absl::StatusOr<NetworkKernel> Open();

  absl::StatusOr<std::vector<KernelLink>> Links();
  absl::StatusOr<std::vector<KernelAddress>> Addresses();
  absl::StatusOr<std::vector<KernelRoute>> Routes();

  // `mtu` 0 leaves it.
  absl::Status SetLink(uint32_t link, bool up, uint32_t mtu);
  absl::Status AddAddress(uint32_t link, const IpPrefix& prefix);
  absl::Status DeleteAddress(uint32_t link, const IpPrefix& prefix);
  // `on_link`: the gateway is reachable though no address of the link covers it.
  absl::Status AddRoute(const KernelRoute& route, bool on_link);
  absl::Status DeleteRoute(const KernelRoute& route);

 private:
  explicit NetworkKernel(NetlinkSocket socket) : socket_(std::move(socket)) {}
  // Dumps again, a few times, when the kernel's tables changed meanwhile.
  template <typename Fixed, typename Object>
  absl::StatusOr<std::vector<Object>> DumpAll(uint16_t type, const Fixed& fixed,
                                              bool (*read)(const NetlinkReply&, Object*));

  NetlinkSocket socket_;
};

// "52:54:00:12:34:56"; empty for no bytes.
std::string HardwareAddressText(absl::string_view bytes);
// "up", "down", "lowerlayerdown" …
std::string OperationalStateName(uint8_t state);
// "kernel", "static", "dhcp", "stele", or the number.
std::string RouteProtocolName(uint8_t protocol);
// "global", "link", "host", or the number.
std::string ScopeName(uint8_t scope);

}  // namespace stele::machined
