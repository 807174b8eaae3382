// Kernel → links, addresses, routes: what is, as the kernel tells it.
//
// A subscription says that something changed, a dump says what is: nothing depends on having
// heard every change, so a lost one (ENOBUFS) costs nothing but the dump that follows anyway.
#pragma once

#include <memory>
#include <optional>

#include "machined/controller.h"
#include "machined/network_kernel.h"

namespace stele::machined {

class NetworkStatusController : public Controller, private FdHandler {
 public:
  ~NetworkStatusController() override;
  absl::string_view name() const override { return "network-status"; }
  std::vector<std::string> watches() const override { return {}; }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;

 private:
  void OnReady(uint32_t events) override;

  std::optional<NetworkKernel> kernel_;
  std::optional<NetlinkSocket> changes_;
  absl::Time last_dump_ = absl::InfinitePast();
  bool waiting_ = false;  // a dump is due when the gap has passed
};

}  // namespace stele::machined
