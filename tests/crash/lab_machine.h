// The lab machine as its scenarios see it: partitions by name, marks in the recording, and what is to be installed.
#pragma once

#include <cstdint>
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
  // Mounts nothing: the whole disk is the scenario's. Marks go to a place that an installation leaves alone.
  static absl::StatusOr<Machine> OfWholeDisk();

  // Where scenarios keep what a node keeps on STELE-STATE.
  absl::Status MountState();

  const std::string& disk() const { return disk_; }
  const std::string& esp_device() const { return esp_device_; }
  // The device of slot a or b.
  const std::string& slot(const std::string& name) const { return name == "a" ? slot_a_ : slot_b_; }
  // Sets a mark: everything that was written before it is before it in the recording, flushed or not.
  absl::Status Mark(absl::string_view text);
  // Unmounts everything, so that what was never flushed reaches the recording too.
  absl::Status End();

 private:
  std::string disk_, esp_device_, slot_a_, slot_b_, state_device_;
  UniqueFd marks_;
  uint64_t mark_at_ = 0;
};

// A file of the initramfs, up to 64 MiB.
absl::StatusOr<std::string> Payload(const std::string& name);

enum class Needs { kPartitions, kUnmounted, kWholeDisk };

// One named way of changing the disk; the table is in lab_scenarios.cc.
struct Scenario {
  const char* name;
  absl::Status (*run)(Machine& machine);
  Needs needs = Needs::kPartitions;  // kUnmounted: the state partition is not in use
};
// NOT_FOUND when there is none of that name.
absl::StatusOr<Scenario> FindScenario(const std::string& name);

// lab_state.cc: what is kept on STELE-STATE.
absl::Status Config(Machine& machine);
absl::Status StagedConfig(Machine& machine);
absl::Status TriedConfig(Machine& machine);
absl::Status Boots(Machine& machine);
absl::Status Failures(Machine& machine);

// lab_install.cc: the image of a medium onto the disk, and forgetting what a node keeps.
absl::Status Install(Machine& machine);
absl::Status InstallWiping(Machine& machine);
absl::Status Reset(Machine& machine);
absl::Status ResetKeeping(Machine& machine);
absl::Status Grow(Machine& machine);
absl::Status FlipBootOrder(Machine& machine);

// lab_wrong.cc: orders that lose files, so that the harness is known to find such.
absl::Status WrongRename(Machine& machine, const std::string& from, const std::string& to);
absl::Status WrongLoader(Machine& machine);
absl::Status WrongGrow(Machine& machine);

}  // namespace stele::lab
