// Which time servers are to be used, and what the kernel says of its clock: the resource "clock".
// chrony, a service, sets the clock; its settings are made of the servers named here.
#pragma once

#include "machined/controller.h"

namespace stele::machined {

class TimeController : public Controller {
 public:
  absl::string_view name() const override { return "time"; }
  std::vector<std::string> watches() const override { return {"leases"}; }
  absl::Status Reconcile() override;

 private:
  OwnerLoop::TimerId timer_ = 0;
};

// Whether the clock may be believed: a server has set it, or there is none that could. One that nothing is known of yet
// may be anywhere.
bool ClockIsSet(Node& node);

// The configuration's servers, else those of the leases; none is a valid answer.
std::vector<std::string> ChooseTimeServers(const Node& node, const Store& store);

}  // namespace stele::machined
