#include "machined/upgrade/place.h"

#include <sys/utsname.h>

#include "machined/image_version.h"

namespace stele::machined {

absl::Status CheckMedium(const BootFacts& facts) {
  switch (facts.medium) {
    case BootMedium::kSlot:
      return absl::OkStatus();
    case BootMedium::kMemory:
      return absl::FailedPreconditionError("the node runs from memory; install it first");
    case BootMedium::kUnknown:
      break;
  }
  return absl::FailedPreconditionError("init does not say where this system was booted from: it has no slots");
}

absl::StatusOr<UpgradePlace> PlaceOn(const BootFacts& facts, const DiskContents& disk, const std::string& esp_target) {
  RETURN_IF_ERROR(CheckMedium(facts));
  const Partition* a = FindPartition(disk, kRootALabel);
  const Partition* b = FindPartition(disk, kRootBLabel);
  if (a == nullptr || b == nullptr) {
    return absl::FailedPreconditionError("the disk has no two root slots: it was not installed with them");
  }
  bool runs_a = a->device == facts.root_device;
  if (!runs_a && b->device != facts.root_device) {
    return absl::FailedPreconditionError(absl::StrCat("the root, ", facts.root_device, ", is no slot of the disk"));
  }
  const Partition* esp = nullptr;
  for (const Partition& partition : disk.partitions) {
    // The one the loader came from, where it says so: two disks may have twins.
    bool it = facts.loader_partition.empty() ? partition.label == kEspLabel : partition.uuid == facts.loader_partition;
    if (it && esp == nullptr) esp = &partition;
  }
  if (esp == nullptr) {
    return absl::FailedPreconditionError(
        facts.loader_partition.empty()
            ? "the disk has no ESP"
            : "the boot loader came from another disk than the root: nothing is changed on either");
  }
  UpgradePlace place;
  place.esp = EspMount(esp->device, esp_target);
  place.esp_partition = *esp;
  place.running_slot = runs_a ? "a" : "b";
  place.other_slot = runs_a ? "b" : "a";
  place.running_device = facts.root_device;
  place.other_device = runs_a ? b->device : a->device;
  place.running_root_hash = facts.root_hash;
  place.running_version = ImageVersion();
  utsname names;
  if (::uname(&names) == 0) place.architecture = names.machine;
  place.entry = facts.entry;
  place.trial = facts.trial;
  place.watchdog_reset = facts.watchdog_reset;
  return place;
}

absl::StatusOr<UpgradePlace> FindPlace(const BootFacts& facts, const std::string& esp_target,
                                       const std::string& sys_block) {
  RETURN_IF_ERROR(CheckMedium(facts));
  for (const std::string& disk : WholeDisks(sys_block)) {
    absl::StatusOr<DiskContents> contents = ProbeDisk(disk);
    if (!contents.ok()) continue;  // an empty card reader, a disk that fails: not the one we run from
    for (const Partition& partition : contents->partitions) {
      if (!partition.device.empty() && partition.device == facts.root_device)
        return PlaceOn(facts, *contents, esp_target);
    }
  }
  return absl::UnavailableError(absl::StrCat("no disk has the root's partition ", facts.root_device));
}

}  // namespace stele::machined
