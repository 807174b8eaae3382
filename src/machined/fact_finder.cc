#include "machined/fact_finder.h"

#include <unistd.h>

#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/subprocess.h"
#include "machined/log.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kVersionTimeout = absl::Seconds(60);

}  // namespace

int KubeletMinor(absl::string_view output) {
  int minor = 0;
  if (!absl::ConsumePrefix(&output, "Kubernetes v1.")) return 0;
  return absl::SimpleAtoi(output.substr(0, output.find_first_not_of("0123456789")), &minor) ? minor : 0;
}

std::string ClusterCaOf(absl::string_view kubeconfig) {
  constexpr absl::string_view kKey = "certificate-authority-data:";
  for (absl::string_view line : absl::StrSplit(kubeconfig, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    absl::ConsumePrefix(&line, "- ");
    if (!absl::ConsumePrefix(&line, kKey)) continue;
    std::string ca;
    absl::string_view quoted = absl::StripAsciiWhitespace(line);
    if (quoted.size() >= 2 && (quoted[0] == '"' || quoted[0] == '\'')) quoted = quoted.substr(1, quoted.size() - 2);
    return absl::Base64Unescape(quoted, &ca) ? ca : "";
  }
  return "";
}

std::map<std::string, std::string> ComponentVersions::Get() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return versions_;
}

void ComponentVersions::Set(const std::string& component, const std::string& version) {
  std::lock_guard<std::mutex> lock(mutex_);
  versions_[component] = version;
}

FactFinder::FactFinder(OwnerLoop& loop, ComponentVersions& versions, std::function<void()> on_change,
                       std::string kubelet)
    : loop_(loop), versions_(versions), on_change_(std::move(on_change)), kubelet_(std::move(kubelet)) {
  if (::access(kubelet_.c_str(), X_OK) == 0) {
    versions_.Set("kubelet", "");
  } else {
    asked_ = complete_ = true;  // a root without one, as tests have
  }
}

void FactFinder::AskInTime(Node& node) {
  if (asked_) return;
  const auto* apid = node.store().Find<resource::v1::Service>("apid");
  bool api = apid != nullptr && apid->ready();
  if (!api && !node.data_ready()) return;
  asked_ = true;
  Ask();
}

void FactFinder::Ask() {
  auto result = std::make_shared<absl::StatusOr<SubprocessResult>>();
  loop_.RunBlocking(
      [result, kubelet = kubelet_] {
        *result = RunSubprocess({kubelet, "--version"}, {services::kPath}, kVersionTimeout);
      },
      [this, alive = alive_, result] {
        if (!*alive) return;
        std::string output = result->ok() ? std::string(absl::StripAsciiWhitespace((*result)->output)) : "";
        kubelet_minor_ = KubeletMinor(output);
        if (kubelet_minor_ == 0) {
          Log("error: kubelet --version: ", result->ok() ? output : result->status().message());
          loop_.After(absl::Seconds(10), [this, alive] {
            if (*alive) Ask();
          });
          return;
        }
        complete_ = true;
        versions_.Set("kubelet", std::string(absl::StripPrefix(output, "Kubernetes ")));
        on_change_();
      });
}

services::Facts FactFinder::Gather(Node& node) const {
  services::Facts facts = {.data_ready = node.data_ready(), .kubelet_minor = kubelet_minor_};
  Store& store = node.store();
  const auto* config = store.Find<resource::v1::ConfigStatus>("running");
  facts.maintenance = config != nullptr && config->source() == "maintenance";
  if (const auto* hostname = store.Find<resource::v1::Hostname>("hostname")) facts.hostname = hostname->hostname();
  for (const auto& [link, spec] : store.All<resource::v1::LinkSpec>()) {
    if (spec.dhcp4()) facts.dhcp_links.push_back(link);
  }
  std::set<std::string> servers;  // of all leases, each once and in an order that stays
  for (const auto& [link, lease] : store.All<resource::v1::DhcpLease>())
    servers.insert(lease.time_servers().begin(), lease.time_servers().end());
  facts.dhcp_time_servers.assign(servers.begin(), servers.end());
  if (node.config() != nullptr) facts.cluster_ca = ClusterCaOf(node.config()->kubelet().kubeconfig());
  return facts;
}

}  // namespace stele::machined
