#include "machined/storage_layout.h"

#include <algorithm>

namespace stele::machined {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kSmallestDisk = 128 * kMiB;

}  // namespace

absl::StatusOr<std::vector<PlannedPartition>> PlanPartitions(uint64_t disk_bytes) {
  if (disk_bytes < kSmallestDisk) {
    return absl::FailedPreconditionError(
        absl::StrCat("the disk has ", disk_bytes / kMiB, " MiB; at least ", kSmallestDisk / kMiB, " are needed"));
  }
  // The first and the last MiB hold the table and its copy.
  uint64_t usable = disk_bytes / kMiB * kMiB - 2 * kMiB;
  uint64_t state = std::min(256 * kMiB, disk_bytes / 8 / kMiB * kMiB);
  return std::vector<PlannedPartition>{{kStateLabel, kMiB, state}, {kDataLabel, kMiB + state, usable - state}};
}

}  // namespace stele::machined
