// Hostname specs → the kernel's host name, /etc/hosts and the resource "hostname".
#pragma once

#include "machined/controller.h"
#include "stele/resource/v1/network.pb.h"

namespace stele::machined {

// The configuration's name, else DHCP's, else the default one. The kubelet takes pods only under a
// name, so there is always one as soon as there is a configuration.
class HostnameController : public Controller {
 public:
  explicit HostnameController(std::string hosts = "/etc/hosts") : hosts_(std::move(hosts)) {}
  absl::string_view name() const override { return "hostname"; }
  std::vector<std::string> watches() const override { return {"hostnamespecs"}; }
  absl::Status Reconcile() override;

 private:
  std::string hosts_;
};

// Which of the layers' specs holds; an empty name when there is none.
resource::v1::Hostname ChooseHostname(const std::map<std::string, resource::v1::HostnameSpec>& specs);
// The host name resolves without a server, and to loopback: to nothing a neighbour could answer for.
std::string HostsFile(const std::string& hostname);

}  // namespace stele::machined
