#include "machined/time_controller.h"

#include <sys/timex.h>

#include <algorithm>

#include "stele/resource/v1/network.pb.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kPoll = absl::Seconds(10);

}  // namespace

std::vector<std::string> ChooseTimeServers(const Node& node, const Store& store) {
  std::vector<std::string> servers;
  if (node.config() != nullptr) {
    servers.assign(node.config()->time().servers().begin(), node.config()->time().servers().end());
  }
  if (!servers.empty()) return servers;
  for (const auto& [link, lease] : store.All<resource::v1::DhcpLease>()) {
    for (const std::string& server : lease.time_servers()) {
      if (std::find(servers.begin(), servers.end(), server) == servers.end()) servers.push_back(server);
    }
  }
  return servers;
}

bool ClockIsSet(Node& node) {
  const auto* clock = node.store().Find<resource::v1::TimeStatus>("clock");
  if (clock == nullptr) return false;
  bool no_servers =
      clock->servers_size() == 0 && (node.config() == nullptr || node.config()->time().servers_size() == 0);
  return clock->synchronized() || no_servers;
}

absl::Status TimeController::Reconcile() {
  resource::v1::TimeStatus status;
  timex clock = {};
  int state = ::adjtimex(&clock);  // modes 0: reads only
  if (state < 0) return ErrnoStatus("read the clock's state");
  status.set_synchronized(state != TIME_ERROR && !(clock.status & STA_UNSYNC));
  // Whole milliseconds: a new resource for each microsecond would wake every watcher all the time.
  if (status.synchronized())
    status.mutable_estimated_error()->set_nanos(static_cast<int32_t>(clock.esterror % 1'000'000 / 1000 * 1'000'000));
  for (const std::string& server : ChooseTimeServers(*node_, node_->store())) status.add_servers(server);
  if (timer_ == 0) {
    timer_ = node_->loop().After(kPoll, [this] {
      timer_ = 0;
      Wake();
    });
  }
  return node_->store().Put(name(), "clock", status);
}

}  // namespace stele::machined
