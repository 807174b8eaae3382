// The last boots of this machine, in one file on STELE-STATE: how each began and how it ended. Pure, but for reading
// and writing the file.
//
// An end that was asked for is written before init is told. A boot that has no end when the next one begins ended some
// other way: what the kernel left in pstore says panic, what init left says watchdog, and without either it was the
// power.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/status.h"
#include "stele/resource/v1/upgrade.pb.h"

namespace stele::machined {

// What tells how the boot before ended.
struct EndEvidence {
  std::string kernel_log;  // from pstore; empty: nothing there
  bool watchdog_reset = false;
};

class BootHistory {
 public:
  static constexpr size_t kKept = 20;
  static constexpr size_t kMaxKernelLog = 16 << 10;
  static constexpr size_t kMaxReason = 512;

  // A file that is not there is an empty history; DATA_LOSS for one that cannot be read as one.
  static absl::StatusOr<BootHistory> Load(const std::string& path);
  // Old or new, never torn.
  absl::Status Save(const std::string& path) const;

  // Adds this boot, unless its boot_id is the last one's: then machined was restarted within it. Returns the boot
  // before when its end was found out just now.
  std::optional<resource::v1::Boot> Begin(const resource::v1::Boot& boot, const EndEvidence& evidence);
  // The running boot is being ended. The last word counts: a forced power-off may follow a reboot.
  void End(resource::v1::BootEnd end, const std::string& reason, int64_t now_seconds);

  // By number, which counts up.
  const std::map<uint64_t, resource::v1::Boot>& boots() const { return boots_; }

 private:
  std::map<uint64_t, resource::v1::Boot> boots_;
};

// The line of a kernel log that says what went wrong; empty when none does.
std::string PanicLine(const std::string& kernel_log);

// "panic", "power loss": for people.
std::string EndText(resource::v1::BootEnd end);

}  // namespace stele::machined
