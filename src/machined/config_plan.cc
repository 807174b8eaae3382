#include "machined/config_plan.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "base/init_protocol.h"
#include "google/protobuf/util/message_differencer.h"
#include "services/service_list.h"

namespace stele::machined {
namespace {

using config::v1::InterfaceConfig;
using config::v1::MachineConfig;
using google::protobuf::util::MessageDifferencer;

// What happens to things that have names: added, changed, gone.
template <typename T, typename Same>
void PlanNamed(const std::map<std::string, T>& before, const std::map<std::string, T>& after, Same same,
               const char* add, const char* change, const char* remove, std::vector<std::string>* plan) {
  for (const auto& [name, thing] : before) {
    if (after.count(name) == 0) plan->push_back(absl::StrCat(remove, " ", name));
  }
  for (const auto& [name, thing] : after) {
    auto old = before.find(name);
    if (old == before.end()) {
      plan->push_back(absl::StrCat(add, " ", name));
    } else if (!same(old->second, thing)) {
      plan->push_back(absl::StrCat(change, " ", name));
    }
  }
}

void PlanNetwork(const MachineConfig& before, const MachineConfig& after, std::vector<std::string>* plan) {
  const config::v1::NetworkConfig &from = before.network(), &to = after.network();
  if (from.hostname() != to.hostname()) {
    plan->push_back(to.hostname().empty() ? "take the host name from DHCP"
                                          : absl::StrCat("set the host name ", to.hostname()));
  }
  std::map<std::string, InterfaceConfig> old_links, new_links;
  for (const InterfaceConfig& link : from.interfaces()) old_links[link.name()] = link;
  for (const InterfaceConfig& link : to.interfaces()) new_links[link.name()] = link;
  auto same = [](const InterfaceConfig& a, const InterfaceConfig& b) { return MessageDifferencer::Equals(a, b); };
  PlanNamed(old_links, new_links, same, "configure link", "configure link", "leave link", plan);
  config::v1::NetworkConfig old_names, new_names;
  *old_names.mutable_nameservers() = from.nameservers();
  *old_names.mutable_search() = from.search();
  *new_names.mutable_nameservers() = to.nameservers();
  *new_names.mutable_search() = to.search();
  if (!MessageDifferencer::Equals(old_names, new_names)) plan->push_back("write /etc/resolv.conf");
}

void PlanPods(const MachineConfig& before, const MachineConfig& after, std::vector<std::string>* plan) {
  std::map<std::string, std::string> old_pods, new_pods;
  for (const auto& pod : before.kubelet().static_pods()) old_pods[pod.name()] = pod.manifest();
  for (const auto& pod : after.kubelet().static_pods()) new_pods[pod.name()] = pod.manifest();
  PlanNamed(old_pods, new_pods, std::equal_to<>(), "add static pod", "change static pod", "remove static pod", plan);
}

void PlanApi(const config::v1::ApiConfig& from, const config::v1::ApiConfig& to, std::vector<std::string>* plan) {
  if (from.certificate() != to.certificate() || from.key() != to.key()) {
    plan->push_back(from.certificate().empty() ? "serve the API" : "serve the API with the new certificate");
  }
  if (!from.client_ca().empty() && from.client_ca() != to.client_ca()) {
    plan->push_back("take other client CAs for the API: connections end where one is gone");
  }
}

std::map<std::string, uint64_t> SpecHashes(const MachineConfig* config, const services::Facts& facts) {
  std::map<std::string, uint64_t> hashes;
  for (const ServiceSpec& spec : services::AllServices(config, facts).services)
    hashes[spec.name] = init_protocol::SpecHash(spec);
  return hashes;
}

}  // namespace

std::vector<std::string> PlanChange(const MachineConfig* before, const MachineConfig& after, services::Facts facts) {
  std::vector<std::string> plan;
  // Which services there are must not depend on how far the boot has come.
  facts.data_ready = true;
  if (facts.kubelet_minor == 0) facts.kubelet_minor = 1;
  services::Facts facts_after = facts;
  if (!after.network().hostname().empty()) facts_after.hostname = after.network().hostname();
  if (facts.hostname.empty()) facts.hostname = "stele";
  if (facts_after.hostname.empty()) facts_after.hostname = "stele";
  const MachineConfig none;
  const MachineConfig& from = before == nullptr ? none : *before;
  if (from.storage().disk() != after.storage().disk() && before != nullptr) {
    plan.push_back(after.storage().disk().empty()
                       ? "at the next boot: look for the disk the node was booted from"
                       : absl::StrCat("at the next boot: use the disk ", after.storage().disk()));
  }
  PlanApi(from.api(), after.api(), &plan);
  PlanNetwork(from, after, &plan);
  PlanPods(from, after, &plan);
  PlanNamed(SpecHashes(before, facts), SpecHashes(&after, facts_after), std::equal_to<>(), "start", "restart", "stop",
            &plan);
  if (plan.empty()) plan.push_back("nothing changes");
  return plan;
}

}  // namespace stele::machined
