// machined's phases of boot, as data: what each waits for, after which others, for how long.
#include "absl/strings/match.h"
#include "machined/phase_board.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

PhaseCheck Config(Node& node) {
  if (node.config() != nullptr) return {PhaseCheck::kDone, ""};
  const auto* status = node.store().Find<resource::v1::ConfigStatus>("running");
  return {PhaseCheck::kWaiting,
          status == nullptr || status->message().empty() ? "no configuration" : status->message()};
}

PhaseCheck Storage(Node& node) {
  if (node.data_ready()) return {PhaseCheck::kDone, ""};
  for (const auto& [label, volume] : node.store().All<resource::v1::Volume>()) {
    if (!volume.ready()) return {PhaseCheck::kWaiting, absl::StrCat(label, ": ", volume.message())};
  }
  return {PhaseCheck::kWaiting, "/var is not mounted"};
}

PhaseCheck ServiceReady(Node& node, absl::string_view name) {
  const auto* service = node.store().Find<resource::v1::Service>(name);
  if (service == nullptr) return {PhaseCheck::kWaiting, absl::StrCat(name, " is not defined yet")};
  if (service->ready()) return {PhaseCheck::kDone, ""};
  if (service->desired() == resource::v1::DESIRED_STATE_DOWN) return {PhaseCheck::kSkipped, "stopped by an operator"};
  return {PhaseCheck::kWaiting, service->message().empty() ? absl::StrCat(name, " is not ready") : service->message()};
}

PhaseCheck Api(Node& node) {
  if (node.config() == nullptr) return {PhaseCheck::kWaiting, "no configuration, and so no keys"};
  return ServiceReady(node, "apid");
}
PhaseCheck Containerd(Node& node) { return ServiceReady(node, "containerd"); }
PhaseCheck Kubelet(Node& node) { return ServiceReady(node, "kubelet"); }

PhaseCheck Network(Node& node) {
  for (const auto& [id, address] : node.store().All<resource::v1::Address>()) {
    if (address.scope() == "global") return {PhaseCheck::kDone, ""};
  }
  return {PhaseCheck::kWaiting, "no link has a global address"};
}

PhaseCheck Time(Node& node) {
  const auto* time = node.store().Find<resource::v1::TimeStatus>("clock");
  if (time == nullptr) return {PhaseCheck::kWaiting, "no time source yet"};
  if (time->synchronized()) return {PhaseCheck::kDone, ""};
  if (time->servers_size() == 0 && node.config() != nullptr && node.config()->time().servers_size() == 0) {
    return {PhaseCheck::kSkipped, "no time servers"};
  }
  return {PhaseCheck::kWaiting, "the clock is not set by a time server yet"};
}

}  // namespace

const std::vector<PhaseStep>& PhaseSteps() {
  static const std::vector<PhaseStep> steps = {
      {"config", {}, absl::Seconds(30), Config},
      {"storage", {}, absl::Seconds(120), Storage},
      {"api", {"config"}, absl::Seconds(30), Api},
      {"network", {"config"}, absl::Seconds(60), Network},
      {"time", {"network"}, absl::Seconds(60), Time},
      {"containerd", {"storage"}, absl::Seconds(120), Containerd},
      {"kubelet", {"containerd"}, absl::Seconds(180), Kubelet},
  };
  return steps;
}

}  // namespace stele::machined
