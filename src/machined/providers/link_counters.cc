// The `linkcounters` resources, from /sys/class/net (Documentation/ABI/testing/sysfs-class-net-statistics).
#include "absl/strings/str_cat.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/kernel.pb.h"

namespace stele::machined {

absl::StatusOr<Provided> ReadLinkCounters() {
  using resource::v1::LinkCounters;
  static constexpr struct {
    const char* file;
    void (LinkCounters::*set)(uint64_t);
  } kCounters[] = {
      {"rx_bytes", &LinkCounters::set_received_bytes},  {"rx_packets", &LinkCounters::set_received_packets},
      {"rx_errors", &LinkCounters::set_receive_errors}, {"rx_dropped", &LinkCounters::set_receive_dropped},
      {"tx_bytes", &LinkCounters::set_sent_bytes},      {"tx_packets", &LinkCounters::set_sent_packets},
      {"tx_errors", &LinkCounters::set_send_errors},    {"tx_dropped", &LinkCounters::set_send_dropped},
  };
  Provided all;
  for (const std::string& name : NamesIn("/sys/class/net")) {
    std::string folder = absl::StrCat("/sys/class/net/", name);
    if (NamesIn(folder + "/statistics").empty()) continue;  // a file of the bonding driver, not an interface
    auto* counters = Provide<LinkCounters>(all, name);
    for (const auto& counter : kCounters) {
      (counters->*counter.set)(NumberOf(absl::StrCat(folder, "/statistics/", counter.file)));
    }
    // Down, or virtual: -1, or no answer.
    uint64_t speed = NumberOf(folder + "/speed");
    if (speed < 10'000'000) counters->set_speed_mbits(static_cast<uint32_t>(speed));
    std::string duplex = TextOf(folder + "/duplex");
    if (duplex != "unknown") counters->set_duplex(duplex);
  }
  return all;
}

}  // namespace stele::machined
