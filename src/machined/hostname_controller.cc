#include "machined/hostname_controller.h"

#include <limits.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "machined/network_specs.h"

namespace stele::machined {
namespace {

// The first label: what the kernel and the kubelet take for the node's name. A domain is kept
// in /etc/hosts only.
std::string ShortName(const std::string& name) { return name.substr(0, name.find('.')); }

}  // namespace

resource::v1::Hostname ChooseHostname(const std::map<std::string, resource::v1::HostnameSpec>& specs) {
  resource::v1::Hostname chosen;
  for (const char* layer : {kLayerConfig, kLayerDhcp4, kLayerDefault}) {
    auto spec = specs.find(layer);
    if (spec == specs.end() || spec->second.hostname().empty()) continue;
    chosen.set_hostname(spec->second.hostname());
    chosen.set_layer(layer);
    break;
  }
  return chosen;
}

std::string HostsFile(const std::string& hostname) {
  std::string names = hostname;
  if (ShortName(hostname) != hostname) absl::StrAppend(&names, " ", ShortName(hostname));
  return absl::StrCat("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 ", names, "\n");
}

absl::Status HostnameController::Reconcile() {
  resource::v1::Hostname chosen = ChooseHostname(node_->store().All<resource::v1::HostnameSpec>());
  if (chosen.hostname().empty()) return absl::OkStatus();
  char present[HOST_NAME_MAX + 1] = {};
  ::gethostname(present, sizeof(present) - 1);
  std::string wanted = ShortName(chosen.hostname());
  if (present != wanted) {
    if (::sethostname(wanted.data(), wanted.size()) < 0) return ErrnoStatus("set host name ", wanted);
    node_->Emit("network", wanted, absl::StrCat("host name set, from ", chosen.layer()));
  }
  std::string hosts = HostsFile(chosen.hostname());
  absl::StatusOr<std::string> old = ReadFile(hosts_);
  if (!old.ok() || *old != hosts) RETURN_IF_ERROR(ReplaceFile(hosts_, hosts));
  return node_->store().Put(name(), "hostname", chosen);
}

}  // namespace stele::machined
