#include "machined/network_kernel.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <net/if_arp.h>

#include "absl/strings/str_cat.h"

namespace stele::machined {
namespace {

constexpr int kDumpTries = 5;

bool ReadLink(const NetlinkReply& reply, KernelLink* link) {
  ifinfomsg info;
  if (reply.type != RTM_NEWLINK || !reply.Read(&info)) return false;
  NetlinkAttributes attributes = reply.AttributesAfter<ifinfomsg>();
  link->index = static_cast<uint32_t>(info.ifi_index);
  link->name = attributes.String(IFLA_IFNAME);
  link->kind = attributes.Nested(IFLA_LINKINFO).String(IFLA_INFO_KIND);
  if (link->kind.empty()) {
    link->kind = info.ifi_type == ARPHRD_LOOPBACK ? "loopback"
                 : info.ifi_type == ARPHRD_ETHER  ? "ether"
                                                  : absl::StrCat("type-", info.ifi_type);
  }
  link->operational_state = OperationalStateName(attributes.U8(IFLA_OPERSTATE));
  link->up = info.ifi_flags & IFF_UP;
  link->carrier = attributes.U8(IFLA_CARRIER) != 0;
  link->mtu = attributes.U32(IFLA_MTU);
  link->hardware_address = HardwareAddressText(attributes.Get(IFLA_ADDRESS));
  return !link->name.empty();
}

bool ReadAddress(const NetlinkReply& reply, KernelAddress* address) {
  ifaddrmsg info;
  if (reply.type != RTM_NEWADDR || !reply.Read(&info)) return false;
  if (info.ifa_family != AF_INET && info.ifa_family != AF_INET6) return false;
  NetlinkAttributes attributes = reply.AttributesAfter<ifaddrmsg>();
  // On a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL elsewhere.
  absl::string_view bytes = attributes.Get(attributes.Has(IFA_LOCAL) ? IFA_LOCAL : IFA_ADDRESS);
  if (bytes.size() != (info.ifa_family == AF_INET ? 4u : 16u)) return false;
  address->link = info.ifa_index;
  address->prefix = {info.ifa_family, std::string(bytes), info.ifa_prefixlen};
  address->scope = info.ifa_scope;
  address->ours = attributes.U8(IFA_PROTO) == kOurProtocol;
  return true;
}

bool ReadRoute(const NetlinkReply& reply, KernelRoute* route) {
  rtmsg info;
  if (reply.type != RTM_NEWROUTE || !reply.Read(&info)) return false;
  if (info.rtm_family != AF_INET && info.rtm_family != AF_INET6) return false;
  NetlinkAttributes attributes = reply.AttributesAfter<rtmsg>();
  if (attributes.U32(RTA_TABLE, info.rtm_table) != RT_TABLE_MAIN || info.rtm_type != RTN_UNICAST) return false;
  size_t size = info.rtm_family == AF_INET ? 4 : 16;
  std::string destination(attributes.Get(RTA_DST));
  if (destination.empty()) destination.assign(size, '\0');
  if (destination.size() != size) return false;
  route->destination = {info.rtm_family, std::move(destination), info.rtm_dst_len};
  route->gateway = std::string(attributes.Get(RTA_GATEWAY));
  route->link = attributes.U32(RTA_OIF);
  route->metric = attributes.U32(RTA_PRIORITY);
  route->protocol = info.rtm_protocol;
  return true;
}

NetlinkMessage AddressMessage(uint16_t type, uint16_t flags, uint32_t link, const IpPrefix& prefix) {
  ifaddrmsg info = {};
  info.ifa_family = static_cast<uint8_t>(prefix.family);
  info.ifa_prefixlen = prefix.length;
  info.ifa_index = link;
  NetlinkMessage message(type, flags, info);
  message.AddBytes(IFA_LOCAL, prefix.bytes);
  message.AddBytes(IFA_ADDRESS, prefix.bytes);
  return message;
}

NetlinkMessage RouteMessage(uint16_t type, uint16_t flags, const KernelRoute& route, bool on_link) {
  rtmsg info = {};
  info.rtm_family = static_cast<uint8_t>(route.destination.family);
  info.rtm_dst_len = route.destination.length;
  info.rtm_table = RT_TABLE_MAIN;
  info.rtm_protocol = route.protocol;
  info.rtm_type = RTN_UNICAST;
  info.rtm_scope = route.gateway.empty() && route.destination.family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  info.rtm_flags = on_link ? RTNH_F_ONLINK : 0;
  NetlinkMessage message(type, flags, info);
  if (route.destination.length > 0) message.AddBytes(RTA_DST, route.destination.bytes);
  if (!route.gateway.empty()) message.AddBytes(RTA_GATEWAY, route.gateway);
  message.AddU32(RTA_OIF, route.link);
  message.AddU32(RTA_PRIORITY, route.metric);
  return message;
}

// The address with all bits after the prefix set.
std::string BroadcastOf(const IpPrefix& prefix) {
  std::string bytes = prefix.bytes;
  for (size_t bit = prefix.length; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] | (0x80 >> (bit % 8)));
  }
  return bytes;
}

}  // namespace

absl::StatusOr<NetworkKernel> NetworkKernel::Open() {
  ASSIGN_OR_RETURN(NetlinkSocket socket, NetlinkSocket::Open());
  return NetworkKernel(std::move(socket));
}

template <typename Fixed, typename Object>
absl::StatusOr<std::vector<Object>> NetworkKernel::DumpAll(uint16_t type, const Fixed& fixed,
                                                           bool (*read)(const NetlinkReply&, Object*)) {
  absl::Status status;
  for (int i = 0; i < kDumpTries; ++i) {
    std::vector<Object> all;
    NetlinkMessage message(type, 0, fixed);
    if (type == RTM_GETLINK) message.AddU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    status = socket_.Dump(message, [&](const NetlinkReply& reply) {
      Object object;
      if (read(reply, &object)) all.push_back(std::move(object));
    });
    if (status.ok()) return all;
    if (!absl::IsAborted(status)) break;
  }
  return status;
}

absl::StatusOr<std::vector<KernelLink>> NetworkKernel::Links() {
  absl::StatusOr<std::vector<KernelLink>> links = DumpAll(RTM_GETLINK, ifinfomsg{}, &ReadLink);
  if (!links.ok()) return Annotate(links.status(), "list links");
  return links;
}

absl::StatusOr<std::vector<KernelAddress>> NetworkKernel::Addresses() {
  absl::StatusOr<std::vector<KernelAddress>> addresses = DumpAll(RTM_GETADDR, ifaddrmsg{}, &ReadAddress);
  if (!addresses.ok()) return Annotate(addresses.status(), "list addresses");
  return addresses;
}

absl::StatusOr<std::vector<KernelRoute>> NetworkKernel::Routes() {
  absl::StatusOr<std::vector<KernelRoute>> routes = DumpAll(RTM_GETROUTE, rtmsg{}, &ReadRoute);
  if (!routes.ok()) return Annotate(routes.status(), "list routes");
  return routes;
}

absl::Status NetworkKernel::SetLink(uint32_t link, bool up, uint32_t mtu) {
  ifinfomsg info = {};
  info.ifi_index = static_cast<int>(link);
  info.ifi_flags = up ? IFF_UP : 0;
  info.ifi_change = IFF_UP;
  NetlinkMessage message(RTM_NEWLINK, 0, info);
  if (mtu != 0) message.AddU32(IFLA_MTU, mtu);
  return socket_.Request(message);
}

absl::Status NetworkKernel::AddAddress(uint32_t link, const IpPrefix& prefix) {
  NetlinkMessage message = AddressMessage(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, link, prefix);
  if (prefix.family == AF_INET && prefix.length < 31) message.AddBytes(IFA_BROADCAST, BroadcastOf(prefix));
  message.AddU8(IFA_PROTO, kOurProtocol);
  return socket_.Request(message);
}

absl::Status NetworkKernel::DeleteAddress(uint32_t link, const IpPrefix& prefix) {
  NetlinkMessage message = AddressMessage(RTM_DELADDR, 0, link, prefix);
  return socket_.Request(message);
}

absl::Status NetworkKernel::AddRoute(const KernelRoute& route, bool on_link) {
  NetlinkMessage message = RouteMessage(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route, on_link);
  return socket_.Request(message);
}

absl::Status NetworkKernel::DeleteRoute(const KernelRoute& route) {
  NetlinkMessage message = RouteMessage(RTM_DELROUTE, 0, route, false);
  return socket_.Request(message);
}

std::string HardwareAddressText(absl::string_view bytes) {
  std::string text;
  for (char byte : bytes)
    absl::StrAppend(&text, text.empty() ? "" : ":", absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
  return text;
}

std::string OperationalStateName(uint8_t state) {
  switch (state) {
    case IF_OPER_NOTPRESENT:
      return "notpresent";
    case IF_OPER_DOWN:
      return "down";
    case IF_OPER_LOWERLAYERDOWN:
      return "lowerlayerdown";
    case IF_OPER_TESTING:
      return "testing";
    case IF_OPER_DORMANT:
      return "dormant";
    case IF_OPER_UP:
      return "up";
    default:
      return "unknown";
  }
}

std::string RouteProtocolName(uint8_t protocol) {
  switch (protocol) {
    case RTPROT_REDIRECT:
      return "redirect";
    case RTPROT_KERNEL:
      return "kernel";
    case RTPROT_BOOT:
      return "boot";
    case RTPROT_STATIC:
      return "static";
    case RTPROT_RA:
      return "ra";
    case RTPROT_BIRD:
      return "bird";
    case RTPROT_DHCP:
      return "dhcp";
    case RTPROT_BGP:
      return "bgp";
    case kOurProtocol:
      return "stele";
    default:
      return absl::StrCat(protocol);
  }
}

std::string ScopeName(uint8_t scope) {
  switch (scope) {
    case RT_SCOPE_UNIVERSE:
      return "global";
    case RT_SCOPE_SITE:
      return "site";
    case RT_SCOPE_LINK:
      return "link";
    case RT_SCOPE_HOST:
      return "host";
    default:
      return absl::StrCat(scope);
  }
}

}  // namespace stele::machined
