// The `watchdogs` resources, from /sys/class/watchdog (Documentation/ABI/testing/sysfs-class-watchdog).
#include "absl/strings/str_cat.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"
#include "stele/resource/v1/hardware.pb.h"

namespace stele::machined {
namespace {

constexpr uint64_t kWasReset = 0x20;  // WDIOF_CARDRESET of linux/watchdog.h, in bootstatus

}  // namespace

absl::StatusOr<Provided> ReadWatchdogs() {
  Provided all;
  for (const std::string& name : NamesIn("/sys/class/watchdog")) {
    std::string folder = absl::StrCat("/sys/class/watchdog/", name, "/");
    auto* watchdog = Provide<resource::v1::Watchdog>(all, name);
    watchdog->set_identity(TextOf(folder + "identity"));
    watchdog->set_state(TextOf(folder + "state"));
    SetDuration(absl::Seconds(NumberOf(folder + "timeout")), watchdog->mutable_timeout());
    if (!TextOf(folder + "timeleft").empty())
      SetDuration(absl::Seconds(NumberOf(folder + "timeleft")), watchdog->mutable_left());
    watchdog->set_fired((NumberOf(folder + "bootstatus") & kWasReset) != 0);
    watchdog->set_unstoppable(NumberOf(folder + "nowayout") != 0);
  }
  return all;
}

}  // namespace stele::machined
