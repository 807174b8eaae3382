#include "machined/storage_layout.h"

#include <algorithm>

namespace stele::machined {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kSmallestDisk = 128 * kMiB;
constexpr uint64_t kEspSize = 512 * kMiB, kSlotSize = 1024 * kMiB, kStateSize = 256 * kMiB, kSmallestData = 512 * kMiB;

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

absl::StatusOr<std::vector<PlannedPartition>> PlanInstalledDisk(uint64_t disk_bytes) {
  constexpr uint64_t kFixed = 2 * kMiB + kEspSize + 2 * kSlotSize + kStateSize;
  if (disk_bytes < kFixed + kSmallestData) {
    return absl::FailedPreconditionError(absl::StrCat("the disk has ", disk_bytes / kMiB,
                                                      " MiB; an installation needs at least ",
                                                      (kFixed + kSmallestData) / kMiB, " MiB"));
  }
  std::vector<PlannedPartition> plan;
  uint64_t at = kMiB;
  auto add = [&](const char* label, uint64_t size) {
    plan.push_back({label, at, size});
    at += size;
  };
  add(kEspLabel, kEspSize);
  add(kRootALabel, kSlotSize);
  add(kRootBLabel, kSlotSize);
  add(kStateLabel, kStateSize);
  add(kDataLabel, disk_bytes / kMiB * kMiB - kMiB - at);
  return plan;
}

const PlannedPartition& FindPlanned(const std::vector<PlannedPartition>& plan, const std::string& label) {
  return *std::find_if(plan.begin(), plan.end(), [&](const PlannedPartition& part) { return part.label == label; });
}

}  // namespace stele::machined
