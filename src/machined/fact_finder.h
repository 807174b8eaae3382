// What the services are told besides the configuration, and which versions run.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "machined/controller.h"
#include "services/service_set.h"

namespace stele::machined {

// "Kubernetes v1.32.4" → 32; 0 for anything else.
int KubeletMinor(absl::string_view version_output);
// The CA that a kubeconfig names (certificate-authority-data of its first cluster), PEM; empty: none.
std::string ClusterCaOf(absl::string_view kubeconfig);

// Versions by component name; any thread.
class ComponentVersions {
 public:
  std::map<std::string, std::string> Get() const;
  void Set(const std::string& component, const std::string& version);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> versions_;
};

// Gathers the facts from the store, and asks the kubelet's binary for its version, once: a call takes
// seconds when the file is not in memory yet, and would take them from the API's start. Owner thread only.
class FactFinder {
 public:
  // `on_change` is called when something is known that is no resource.
  FactFinder(OwnerLoop& loop, ComponentVersions& versions, std::function<void()> on_change,
             std::string kubelet = "/usr/bin/kubelet");
  ~FactFinder() { *alive_ = false; }

  // Asks the programs, once the API answers or /var is there, whichever comes first. Called on every turn.
  void AskInTime(Node& node);
  services::Facts Gather(Node& node) const;
  // Whether the programs have answered, where there are any.
  bool complete() const { return complete_; }

 private:
  void Ask();

  OwnerLoop& loop_;
  ComponentVersions& versions_;
  std::function<void()> on_change_;
  std::string kubelet_;
  int kubelet_minor_ = 0;
  bool asked_ = false;
  bool complete_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
