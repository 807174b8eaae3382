// How a disk is divided: an empty one of a node that boots from elsewhere, and one that Stele is installed on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

inline constexpr char kEspLabel[] = "ESP";
inline constexpr char kRootALabel[] = "STELE-ROOT-A";
inline constexpr char kRootBLabel[] = "STELE-ROOT-B";
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

// An installed disk: ESP 512 MiB, two root slots of 1 GiB, state 256 MiB, data: the rest, and never less than 512 MiB.
// Every start is a whole MiB, so it fits sectors of 512 and of 4096 bytes alike. FAILED_PRECONDITION, with both sizes,
// when the disk is too small.
absl::StatusOr<std::vector<PlannedPartition>> PlanInstalledDisk(uint64_t disk_bytes);

// The one with that label, which must be there.
const PlannedPartition& FindPlanned(const std::vector<PlannedPartition>& plan, const std::string& label);

}  // namespace stele::machined
