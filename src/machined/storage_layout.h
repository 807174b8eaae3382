// How an empty disk is divided.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

inline constexpr char kStateLabel[] = "STELE-STATE";
inline constexpr char kDataLabel[] = "STELE-DATA";

struct PlannedPartition {
  std::string label;
  uint64_t start = 0;  // bytes, whole MiB
  uint64_t size = 0;
};

// State: 256 MiB, or an eighth of a disk below 2 GiB; data: the rest. FAILED_PRECONDITION when the disk
// is too small to be of use.
absl::StatusOr<std::vector<PlannedPartition>> PlanPartitions(uint64_t disk_bytes);

}  // namespace stele::machined
