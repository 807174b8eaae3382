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
using google::protobuf::Message;
using google::protobuf::RepeatedPtrField;
using google::protobuf::util::MessageDifferencer;

using Lines = std::vector<std::string>;

bool Same(const Message& a, const Message& b) { return MessageDifferencer::Equals(a, b); }
bool Same(const std::string& a, const std::string& b) { return a == b; }
bool Same(const RepeatedPtrField<std::string>& a, const RepeatedPtrField<std::string>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// What happens to things that have names: added, changed, gone.
template <typename T>
Lines TellNamed(const std::map<std::string, T>& before, const std::map<std::string, T>& after, const char* add,
                const char* change, const char* remove) {
  Lines lines;
  for (const auto& [name, thing] : before) {
    if (after.count(name) == 0) lines.push_back(absl::StrCat(remove, " ", name));
  }
  for (const auto& [name, thing] : after) {
    auto old = before.find(name);
    if (old == before.end()) {
      lines.push_back(absl::StrCat(add, " ", name));
    } else if (!Same(old->second, thing)) {
      lines.push_back(absl::StrCat(change, " ", name));
    }
  }
  return lines;
}

// Each row's words, from both configurations (empty ones where there is none); nothing where nothing changes.

Lines TellDisk(const MachineConfig& from, const MachineConfig& to) {
  if (from.storage().disk() == to.storage().disk() || !from.has_api()) return {};  // the first one counts at once
  return {to.storage().disk().empty() ? "at the next boot: look for the disk the node was booted from"
                                      : absl::StrCat("at the next boot: use the disk ", to.storage().disk())};
}

Lines TellInstall(const MachineConfig& from, const MachineConfig& to) {
  if (Same(from.install(), to.install()) && from.has_install() == to.has_install()) return {};
  return {to.has_install() ? "when booted from a medium: install onto the disk that install.disk names"
                           : "when booted from a medium: do not install by itself"};
}

Lines TellCertificate(const MachineConfig& from, const MachineConfig& to) {
  if (from.api().certificate() == to.api().certificate() && from.api().key() == to.api().key()) return {};
  return {from.api().certificate().empty() ? "serve the API" : "serve the API with the new certificate"};
}

Lines TellClientCa(const MachineConfig& from, const MachineConfig& to) {
  if (from.api().client_ca().empty() || from.api().client_ca() == to.api().client_ca()) return {};
  return {"take other client CAs for the API: the connections of one that is gone end"};
}

// By name, each as what apid is told of it.
std::map<std::string, config::v1::RoleConfig> Roles(const MachineConfig& config) {
  std::map<std::string, config::v1::RoleConfig> roles;
  for (const config::v1::RoleConfig& role : config.api().roles()) roles[role.name()] = role;
  return roles;
}

Lines TellRoles(const MachineConfig& from, const MachineConfig& to) {
  return TellNamed(Roles(from), Roles(to), "add role",
                   "change role, ending its clients' connections:", "take away role, ending its clients' connections:");
}

Lines TellHostname(const MachineConfig& from, const MachineConfig& to) {
  if (from.network().hostname() == to.network().hostname()) return {};
  return {to.network().hostname().empty() ? "take the host name from DHCP"
                                          : absl::StrCat("set the host name ", to.network().hostname())};
}

std::map<std::string, InterfaceConfig> Links(const MachineConfig& config) {
  std::map<std::string, InterfaceConfig> links;
  for (const InterfaceConfig& link : config.network().interfaces()) links[link.name()] = link;
  return links;
}

Lines TellLinks(const MachineConfig& from, const MachineConfig& to) {
  return TellNamed(Links(from), Links(to), "configure link", "configure link", "leave link");
}

Lines TellResolver(const MachineConfig& from, const MachineConfig& to) {
  bool same = Same(from.network().nameservers(), to.network().nameservers()) &&
              Same(from.network().search(), to.network().search());
  return same ? Lines() : Lines{"write /etc/resolv.conf"};
}

Lines TellTime(const MachineConfig& from, const MachineConfig& to) {
  if (Same(from.time().servers(), to.time().servers())) return {};
  return {to.time().servers().empty() ? "take time servers from DHCP" : "set the clock by other time servers"};
}

std::map<std::string, std::string> Pods(const MachineConfig& config) {
  std::map<std::string, std::string> pods;
  for (const auto& pod : config.kubelet().static_pods()) pods[pod.name()] = pod.manifest();
  return pods;
}

Lines TellPods(const MachineConfig& from, const MachineConfig& to) {
  return TellNamed(Pods(from), Pods(to), "add static pod", "change static pod", "remove static pod");
}

Lines TellCluster(const MachineConfig& from, const MachineConfig& to) {
  bool same = from.kubelet().kubeconfig() == to.kubelet().kubeconfig() &&
              Same(from.kubelet().bootstrap(), to.kubelet().bootstrap());
  if (same) return {};
  bool joins = to.kubelet().has_bootstrap() || !to.kubelet().kubeconfig().empty();
  return {joins ? "give the kubelet its way into the cluster" : "let the kubelet run without a cluster"};
}

Lines TellKubelet(const MachineConfig& from, const MachineConfig& to) {
  config::v1::KubeletConfig before = from.kubelet(), after = to.kubelet();
  for (config::v1::KubeletConfig* rest : {&before, &after}) {
    rest->clear_static_pods();
    rest->clear_kubeconfig();
    rest->clear_bootstrap();
  }
  return Same(before, after) ? Lines() : Lines{"change the kubelet's settings"};
}

Lines TellUpgrade(const MachineConfig& from, const MachineConfig& to) {
  return Same(from.upgrade(), to.upgrade()) ? Lines() : Lines{"judge upgrades by other rules, one under way too"};
}

std::map<std::string, config::v1::LogSinkConfig> Sinks(const MachineConfig& config) {
  std::map<std::string, config::v1::LogSinkConfig> sinks;
  for (const auto& sink : config.logging().sinks()) sinks[sink.name()] = sink;
  return sinks;
}

Lines TellLogging(const MachineConfig& from, const MachineConfig& to) {
  return TellNamed(Sinks(from), Sinks(to), "forward logs to", "forward logs otherwise to", "forward no logs to");
}

// Everything that a configuration can change: a row for each kind of change, in the order they are done. What a service
// has to do is not guessed here: its spec and files, before and after, are compared behind the table.
struct Row {
  std::vector<const char*> keys;  // that it tells of
  ChangeNeed need;
  Lines (*tell)(const MachineConfig& from, const MachineConfig& to);
};

const std::vector<Row>& Table() {
  static const std::vector<Row> rows = {
      {{"storage.disk"}, ChangeNeed::kReboot, TellDisk},
      {{"install"}, ChangeNeed::kReboot, TellInstall},
      {{"api.certificate", "api.key"}, ChangeNeed::kNothing, TellCertificate},
      {{"api.clientCA"}, ChangeNeed::kNothing, TellClientCa},
      {{"api.roles"}, ChangeNeed::kNothing, TellRoles},
      {{"network.hostname"}, ChangeNeed::kNothing, TellHostname},
      {{"network.interfaces"}, ChangeNeed::kNothing, TellLinks},
      {{"network.nameservers", "network.search"}, ChangeNeed::kNothing, TellResolver},
      {{"time.servers"}, ChangeNeed::kNothing, TellTime},
      {{"kubelet.staticPods"}, ChangeNeed::kNothing, TellPods},
      {{"kubelet.kubeconfig", "kubelet.bootstrap"}, ChangeNeed::kNothing, TellCluster},
      {{"kubelet.clusterDNS", "kubelet.clusterDomain", "kubelet.nodeLabels", "kubelet.nodeIP"},
       ChangeNeed::kNothing,
       TellKubelet},
      {{"upgrade"}, ChangeNeed::kNothing, TellUpgrade},
      {{"logging"}, ChangeNeed::kNothing, TellLogging},
      // They have one value each.
      {{"apiVersion", "kind"},
       ChangeNeed::kNothing,
       [](const MachineConfig&, const MachineConfig&) { return Lines(); }},
  };
  return rows;
}

std::map<std::string, uint64_t> SpecHashes(const MachineConfig* config, const services::Facts& facts) {
  std::map<std::string, uint64_t> hashes;
  for (const ServiceSpec& spec : services::AllServices(config, facts).services)
    hashes[spec.name] = init_protocol::SpecHash(spec);
  return hashes;
}

void PlanServices(const std::map<std::string, uint64_t>& before, const std::map<std::string, uint64_t>& after,
                  ConfigPlan* plan) {
  auto add = [plan](const char* verb, const std::string& name) {
    plan->push_back({absl::StrCat(verb, " ", name), ChangeNeed::kService, name});
  };
  for (const auto& [name, hash] : before) {
    if (after.count(name) == 0) add("stop", name);
  }
  for (const auto& [name, hash] : after) {
    auto old = before.find(name);
    if (old == before.end()) {
      add("start", name);
    } else if (old->second != hash) {
      add("restart", name);
    }
  }
}

}  // namespace

ConfigPlan PlanChange(const MachineConfig* before, const MachineConfig& after, services::Facts facts) {
  // Which services there are must not depend on how far the boot has come.
  facts.data_ready = true;
  if (facts.kubelet_minor == 0) facts.kubelet_minor = 1;
  services::Facts facts_after = facts;
  facts_after.maintenance = false;
  if (!after.network().hostname().empty()) facts_after.hostname = after.network().hostname();
  if (facts.hostname.empty()) facts.hostname = "stele";
  if (facts_after.hostname.empty()) facts_after.hostname = "stele";
  const MachineConfig none;
  ConfigPlan plan;
  for (const Row& row : Table()) {
    for (std::string& line : row.tell(before == nullptr ? none : *before, after)) {
      plan.push_back({std::move(line), row.need, ""});
    }
  }
  PlanServices(SpecHashes(before, facts), SpecHashes(&after, facts_after), &plan);
  if (plan.empty()) plan.push_back({"nothing changes"});
  return plan;
}

std::vector<std::string> PlanLines(const ConfigPlan& plan) {
  std::vector<std::string> lines;
  for (const PlannedChange& change : plan) lines.push_back(change.action);
  return lines;
}

std::vector<std::string> PlannedKeys() {
  std::vector<std::string> keys;
  for (const Row& row : Table()) keys.insert(keys.end(), row.keys.begin(), row.keys.end());
  return keys;
}

}  // namespace stele::machined
