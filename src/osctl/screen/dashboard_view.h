// What `osctl dashboard` shows of a node. Pure: from what it says, and what is chosen.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "osctl/screen/frame.h"
#include "osctl/screen/watched.h"
#include "stele/machine/v1/event_service.pb.h"
#include "stele/machine/v1/system_service.pb.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::osctl {

// What the lower part shows.
enum class Pane : unsigned char { kEvents, kService, kKernel };

struct DashboardLook {
  size_t service = 0;  // in the order of names
  Pane pane = Pane::kEvents;
  size_t back = 0;  // lines from the end
};

struct DashboardNode {
  std::string name;
  stele::machine::v1::VersionResponse version;
  Watched<stele::resource::v1::Service> services;
  Watched<stele::resource::v1::Pressure> pressure;
  Watched<stele::resource::v1::Cpu> cpus;
  Watched<stele::resource::v1::Link> links;
  Watched<stele::resource::v1::LinkCounters> counters;
  Watched<stele::resource::v1::Address> addresses;
  Watched<stele::resource::v1::Memory> memory;
  Watched<stele::resource::v1::Kernel> kernel;
  std::string log_of;            // what `log` is the log of: a service's name, or "kernel"
  std::vector<std::string> log;  // its last lines
  std::vector<stele::machine::v1::Event> events;
  Health health;
};

// What the log below is to be of: a service's name, or "kernel"; empty where no log is shown.
std::string LogOf(const DashboardNode& node, const DashboardLook& look);

// Brings `look` back to what there is.
void DrawDashboard(const DashboardNode& node, absl::Time now, DashboardLook* look, Frame* frame);

}  // namespace stele::osctl
