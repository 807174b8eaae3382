// The lab machine as its scenarios see it: partitions by name, marks in the recording, and what is to be installed.
#pragma once

#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::lab {

inline constexpr char kEsp[] = "/esp";
inline constexpr char kState[] = "/state";

class Machine {
 public:
  // Mounts what a scenario needs; the disk's partitions are found by their names.
  static absl::StatusOr<Machine> Create();

  const std::string& esp_device() const { return esp_device_; }
  // The device of slot a or b.
  const std::string& slot(const std::string& name) const { return name == "a" ? slot_a_ : slot_b_; }
  // Sets a mark: everything that was written before it is before it in the recording, flushed or not.
  absl::Status Mark(absl::string_view text);
  // Unmounts everything, so that what was never flushed reaches the recording too.
  absl::Status End();

 private:
  std::string esp_device_, slot_a_, slot_b_;
  UniqueFd marks_;
};

// A file of the initramfs, up to 64 MiB.
absl::StatusOr<std::string> Payload(const std::string& name);

// One named way of changing the disk; the table is in lab_scenarios.cc.
struct Scenario {
  const char* name;
  absl::Status (*run)(Machine& machine);
};
absl::Status RunScenario(Machine& machine, const std::string& name);

// lab_wrong.cc: orders that lose files, so that the harness is known to find such.
absl::Status WrongRename(Machine& machine, const std::string& from, const std::string& to);
absl::Status WrongLoader(Machine& machine);

}  // namespace stele::lab
