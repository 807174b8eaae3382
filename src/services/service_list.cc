// The explicit list. A new service is added here and nowhere else.
#include "services/service_list.h"

#include "base/first_services.h"
#include "services/apid.h"
#include "services/chronyd.h"
#include "services/cni.h"
#include "services/containerd.h"
#include "services/dhcpcd.h"
#include "services/kubelet.h"
#include "services/udevd.h"
#include "services/workload.h"

namespace stele::services {
namespace {

template <typename T>
void Append(std::vector<T> more, std::vector<T>* all) {
  all->insert(all->end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void AddWorkload(const config::v1::MachineConfig& config, const Facts& facts, ServiceSet* set) {
  Append(ContainerdDirectories(), &set->directories);
  Append(CniDirectories(), &set->directories);
  Append(ContainerdFiles(), &set->files);
  Append(CniFiles(config), &set->files);
  set->services.push_back(Workload());
  set->services.push_back(Containerd());
  if (facts.hostname.empty() || facts.kubelet_minor == 0) return;  // the node is still finding out
  // With their files only: the folder of static pods loses what is not listed, and the kubelet ends such a pod.
  Append(KubeletDirectories(), &set->directories);
  Append(KubeletFiles(config, facts), &set->files);
  Append(StaticPodFiles(config), &set->files);
  set->services.push_back(Kubelet(config, facts));
}

}  // namespace

ServiceSet AllServices(const config::v1::MachineConfig* config, const Facts& facts) {
  ServiceSet set;
  set.services = {ApidSpec(), Udevd(), UdevTrigger()};
  Append(ApidDirectories(), &set.directories);
  if (!facts.dhcp_links.empty()) {
    Append(DhcpcdDirectories(facts), &set.directories);
    Append(DhcpcdFiles(), &set.files);
    set.services.push_back(Dhcpcd(facts));
  }
  if (config == nullptr) return set;
  Append(ApidFiles(*config), &set.files);
  if (!facts.data_ready || facts.maintenance) return set;  // the rest keeps things below /var
  if (std::vector<std::string> servers = TimeServers(*config, facts); !servers.empty()) {
    Append(ChronydDirectories(), &set.directories);
    Append(ChronydFiles(servers), &set.files);
    set.services.push_back(Chronyd(servers));
  }
  AddWorkload(*config, facts, &set);
  return set;
}

}  // namespace stele::services
