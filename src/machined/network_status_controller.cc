#include "machined/network_status_controller.h"

#include "absl/strings/str_cat.h"
#include "machined/log.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {
namespace {

constexpr uint32_t kGroups =
    RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
// A start of twenty pods changes hundreds of things; the first is seen at once, the others together.
constexpr absl::Duration kGap = absl::Milliseconds(100);

std::map<uint32_t, std::string> NamesOf(const std::vector<KernelLink>& links) {
  std::map<uint32_t, std::string> names;
  for (const KernelLink& link : links) names[link.index] = link.name;
  return names;
}

resource::v1::Link LinkResource(const KernelLink& link) {
  resource::v1::Link resource;
  resource.set_index(link.index);
  resource.set_kind(link.kind);
  resource.set_operational_state(link.operational_state);
  resource.set_carrier(link.carrier);
  resource.set_mtu(link.mtu);
  resource.set_hardware_address(link.hardware_address);
  return resource;
}

std::map<std::string, resource::v1::Address> AddressResources(const std::vector<KernelAddress>& addresses,
                                                              const std::map<uint32_t, std::string>& names) {
  std::map<std::string, resource::v1::Address> resources;
  for (const KernelAddress& address : addresses) {
    auto link = names.find(address.link);
    if (link == names.end()) continue;  // gone between the dumps: its removal is told next
    std::string text = FormatIpPrefix(address.prefix);
    resource::v1::Address& resource = resources[absl::StrCat(link->second, "/", text)];
    resource.set_link(link->second);
    resource.set_address(text);
    resource.set_family(address.prefix.family == AF_INET ? "inet" : "inet6");
    resource.set_scope(ScopeName(address.scope));
  }
  return resources;
}

std::map<std::string, resource::v1::Route> RouteResources(const std::vector<KernelRoute>& routes,
                                                          const std::map<uint32_t, std::string>& names) {
  std::map<std::string, resource::v1::Route> resources;
  for (const KernelRoute& route : routes) {
    auto link = names.find(route.link);
    std::string through = link == names.end() ? "" : link->second;
    std::string destination = route.destination.length == 0 && route.destination.family == AF_INET
                                  ? "default"
                                  : FormatIpPrefix(route.destination);
    resource::v1::Route& resource = resources[absl::StrCat(destination, "/", route.metric, "/", through)];
    resource.set_destination(destination);
    resource.set_gateway(FormatIpAddress(route.gateway));
    resource.set_link(through);
    resource.set_metric(route.metric);
    resource.set_protocol(RouteProtocolName(route.protocol));
  }
  return resources;
}

}  // namespace

NetworkStatusController::~NetworkStatusController() {
  if (node_ != nullptr && changes_) node_->loop().events().Remove(changes_->fd(), this);
}

absl::Status NetworkStatusController::Start(Node& node) {
  RETURN_IF_ERROR(Controller::Start(node));
  ASSIGN_OR_RETURN(NetworkKernel kernel, NetworkKernel::Open());
  kernel_.emplace(std::move(kernel));
  // First subscribe, then dump: a change between the two is heard.
  ASSIGN_OR_RETURN(NetlinkSocket changes, NetlinkSocket::Open(kGroups));
  changes_.emplace(std::move(changes));
  RETURN_IF_ERROR(node.loop().events().Add(changes_->fd(), EPOLLIN, this));
  // The controllers after this one see links from the start.
  if (absl::Status status = Reconcile(); !status.ok()) Log("network-status: ", status.message());
  return absl::OkStatus();
}

void NetworkStatusController::OnReady(uint32_t) {
  // What it says does not matter; an error is that something was lost, and the dump makes it good.
  changes_->Receive([](const NetlinkReply&) {}).IgnoreError();
  if (waiting_) return;
  absl::Duration since = absl::Now() - last_dump_;
  if (since < absl::ZeroDuration() || since >= kGap) {
    Wake();
    return;
  }
  waiting_ = true;
  node_->loop().After(kGap - since, [this] {
    waiting_ = false;
    Wake();
  });
}

absl::Status NetworkStatusController::Reconcile() {
  last_dump_ = absl::Now();
  ASSIGN_OR_RETURN(std::vector<KernelLink> links, kernel_->Links());
  ASSIGN_OR_RETURN(std::vector<KernelAddress> addresses, kernel_->Addresses());
  ASSIGN_OR_RETURN(std::vector<KernelRoute> routes, kernel_->Routes());
  std::map<uint32_t, std::string> names = NamesOf(links);
  std::map<std::string, resource::v1::Link> resources;
  for (const KernelLink& link : links) resources[link.name] = LinkResource(link);
  RETURN_IF_ERROR(node_->store().Replace(name(), resources));
  RETURN_IF_ERROR(node_->store().Replace(name(), AddressResources(addresses, names)));
  return node_->store().Replace(name(), RouteResources(routes, names));
}

}  // namespace stele::machined
