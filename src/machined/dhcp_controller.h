// DHCP client's reports → leases → address, route, resolver and hostname specs of layer dhcp4.
//
// The client (dhcpcd, a service) configures nothing: its hook, the applet dhcp-report, sends what
// happened as one datagram to our socket. Leases are kept in a file each below /run, so that a
// restart of machined neither loses an address nor asks for a new one. A lease ends when the client
// says so, when its time has passed without a renewal, or when the link's spec no longer asks DHCP.
#pragma once

#include <map>
#include <string>

#include "base/unique_fd.h"
#include "machined/controller.h"
#include "machined/dhcp_report.h"

namespace stele::machined {

struct DhcpPaths {
  std::string socket = "/run/stele/dhcp.sock";
  std::string leases = "/run/stele/dhcp";
  uint32_t client_uid = 902;
};

class DhcpController : public Controller, private FdHandler {
 public:
  explicit DhcpController(DhcpPaths paths = {}) : paths_(std::move(paths)) {}
  ~DhcpController() override;
  absl::string_view name() const override { return "dhcp"; }
  std::vector<std::string> watches() const override { return {"linkspecs", "links"}; }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;

 private:
  struct Held {
    resource::v1::DhcpLease lease;
    absl::Duration expires = absl::InfiniteDuration();  // CLOCK_BOOTTIME: no step of the clock moves it
  };
  void OnReady(uint32_t events) override;
  void HandleDatagram(absl::string_view datagram);
  void Have(const std::string& link, resource::v1::DhcpLease lease);
  void Drop(const std::string& link, absl::string_view why);
  void DropExpired();
  void LoadLeases();
  absl::Status Publish();

  DhcpPaths paths_;
  UniqueFd socket_;
  std::map<std::string, Held> held_;
  OwnerLoop::TimerId expiry_timer_ = 0;
};

}  // namespace stele::machined
