#include "machined/network_controller.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {
namespace {

// Remembers the first error; the others are of the same kind, and nothing stops at one.
void Keep(absl::Status& first, const absl::Status& status, absl::string_view doing) {
  if (first.ok()) first = Annotate(status, doing);
}

absl::StatusOr<WantedRoute> RouteOf(const resource::v1::RouteSpec& spec) {
  WantedRoute route;
  route.link = spec.link();
  route.metric = spec.metric();
  if (!spec.gateway().empty()) {
    ASSIGN_OR_RETURN(route.gateway, ParseIpAddress(spec.gateway()));
  }
  if (spec.destination() == "default") {
    // The gateway tells the family.
    size_t size = route.gateway.empty() ? 4 : route.gateway.size();
    route.destination = {size == 4 ? AF_INET : AF_INET6, std::string(size, '\0'), 0};
    return route;
  }
  ASSIGN_OR_RETURN(route.destination, ParseIpPrefix(spec.destination()));
  if (!route.gateway.empty() && route.gateway.size() != route.destination.bytes.size()) {
    return absl::InvalidArgumentError("destination and gateway are of different families");
  }
  return route;
}

// An address that goes leaves the others of its subnet alone. dhcpcd refuses links without it, and
// cannot set it itself: it has no right to configure anything.
absl::Status PromoteSecondaries(const std::string& link) {
  std::string path = absl::StrCat("/proc/sys/net/ipv4/conf/", link, "/promote_secondaries");
  ASSIGN_OR_RETURN(std::string value, ReadFile(path));
  return value == "1\n" ? absl::OkStatus() : WriteControlFile(path, "1");
}

std::string TextOf(const KernelRoute& route) {
  return absl::StrCat(FormatIpPrefix(route.destination), route.gateway.empty() ? "" : " via ",
                      FormatIpAddress(route.gateway), " metric ", route.metric);
}

}  // namespace

WantedNetwork WantedOf(const Store& store, absl::Status* problem) {
  WantedNetwork wanted;
  for (const auto& [name, link] : store.All<resource::v1::LinkSpec>())
    wanted.links.push_back({name, link.up(), link.mtu()});
  // The ids begin with the layer: config sorts before dhcp4, and the first wins where two ask for the same.
  for (const auto& [id, spec] : store.All<resource::v1::AddressSpec>()) {
    absl::StatusOr<IpPrefix> prefix = ParseIpPrefix(spec.address());
    Keep(*problem, prefix.status(), id);
    if (prefix.ok()) wanted.addresses.push_back({spec.link(), *prefix});
  }
  for (const auto& [id, spec] : store.All<resource::v1::RouteSpec>()) {
    absl::StatusOr<WantedRoute> route = RouteOf(spec);
    Keep(*problem, route.status(), id);
    if (route.ok()) wanted.routes.push_back(*route);
  }
  return wanted;
}

absl::Status NetworkController::Start(Node& node) {
  RETURN_IF_ERROR(Controller::Start(node));
  ASSIGN_OR_RETURN(NetworkKernel kernel, NetworkKernel::Open());
  kernel_.emplace(std::move(kernel));
  // machined's own API and half of the workload side talk over loopback, whatever the config says.
  WantedNetwork loopback;
  loopback.links.push_back({"lo", true, 0});
  if (absl::Status status = ApplyLinks(loopback); !status.ok()) {
    node.Emit("network", "lo", status.message(), machine::v1::SEVERITY_ERROR);
  }
  return absl::OkStatus();
}

absl::Status NetworkController::Reconcile() {
  if (node_->store().List("linkspecs").empty()) return absl::OkStatus();
  absl::Status problem;
  WantedNetwork wanted = WantedOf(node_->store(), &problem);
  Keep(problem, ApplyLinks(wanted), "links");
  Keep(problem, ApplyAddresses(wanted), "addresses");
  Keep(problem, ApplyRoutes(wanted), "routes");
  return problem;
}

absl::Status NetworkController::ApplyLinks(const WantedNetwork& wanted) {
  ASSIGN_OR_RETURN(std::vector<KernelLink> links, kernel_->Links());
  absl::Status first;
  for (const WantedLink& wanted_link : wanted.links) {
    bool exists =
        std::any_of(links.begin(), links.end(), [&](const KernelLink& link) { return link.name == wanted_link.name; });
    if (exists) Keep(first, PromoteSecondaries(wanted_link.name), wanted_link.name);
  }
  for (const LinkChange& change : PlanLinks(wanted, links)) {
    absl::Status status = kernel_->SetLink(change.link, change.up, change.mtu);
    Keep(first, status, absl::StrCat("set ", change.name, change.up ? " up" : " down"));
    if (status.ok()) node_->Emit("network", change.name, change.up ? "set up" : "set down");
  }
  return first;
}

absl::Status NetworkController::ApplyAddresses(const WantedNetwork& wanted) {
  ASSIGN_OR_RETURN(std::vector<KernelLink> links, kernel_->Links());
  ASSIGN_OR_RETURN(std::vector<KernelAddress> addresses, kernel_->Addresses());
  AddressChanges changes = PlanAddresses(wanted, links, addresses);
  absl::Status first;
  for (const KernelAddress& address : changes.remove) {
    std::string text = FormatIpPrefix(address.prefix);
    absl::Status status = kernel_->DeleteAddress(address.link, address.prefix);
    // The kernel takes secondary addresses away with their primary.
    if (absl::IsNotFound(status) || absl::IsUnavailable(status)) status = absl::OkStatus();
    Keep(first, status, absl::StrCat("remove ", text));
    if (status.ok()) node_->Emit("network", text, "address removed");
  }
  for (const KernelAddress& address : changes.add) {
    std::string text = FormatIpPrefix(address.prefix);
    absl::Status status = kernel_->AddAddress(address.link, address.prefix);
    Keep(first, status, absl::StrCat("add ", text));
    if (status.ok()) node_->Emit("network", text, "address added");
  }
  return first;
}

absl::Status NetworkController::ApplyRoutes(const WantedNetwork& wanted) {
  ASSIGN_OR_RETURN(std::vector<KernelLink> links, kernel_->Links());
  ASSIGN_OR_RETURN(std::vector<KernelRoute> routes, kernel_->Routes());
  RouteChanges changes = PlanRoutes(wanted, links, routes);
  absl::Status first;
  for (const KernelRoute& route : changes.remove) {
    absl::Status status = kernel_->DeleteRoute(route);
    if (absl::IsNotFound(status)) status = absl::OkStatus();  // ESRCH: gone with its address
    Keep(first, status, absl::StrCat("remove route ", TextOf(route)));
    if (status.ok())
      node_->Emit("network", FormatIpPrefix(route.destination), absl::StrCat("route removed: ", TextOf(route)));
  }
  for (const RouteChanges::Add& add : changes.add) {
    absl::Status status = kernel_->AddRoute(add.route, add.on_link);
    Keep(first, status, absl::StrCat("add route ", TextOf(add.route)));
    if (status.ok())
      node_->Emit("network", FormatIpPrefix(add.route.destination), absl::StrCat("route added: ", TextOf(add.route)));
  }
  return first;
}

}  // namespace stele::machined
