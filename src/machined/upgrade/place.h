// Where the node's images are, and what runs: found once, when machined starts.
#pragma once

#include <string>

#include "base/boot_facts.h"
#include "base/status.h"
#include "machined/storage_layout.h"
#include "machined/storage_probe.h"
#include "machined/upgrade/esp_mount.h"

namespace stele::machined {

struct UpgradePlace {
  EspMount esp = EspMount::Folder("");
  Partition esp_partition;
  std::string running_slot;  // a or b
  std::string running_device;
  std::string running_root_hash;  // hex, as on the kernel's command line
  std::string running_version;
  std::string architecture;     // as uname -m
  std::string entry;            // the loader's path of the UKI that runs, where it counted this boot
  bool trial = false;           // the loader counts this boot
  bool watchdog_reset = false;  // the hardware watchdog ended the boot before
  std::string other_slot;
  std::string other_device;
};

// On the disk that the running root is on, and on no other: pure. FAILED_PRECONDITION when the node runs from
// memory, or its disk is not divided as ours.
absl::StatusOr<UpgradePlace> PlaceOn(const BootFacts& facts, const DiskContents& disk, const std::string& esp_target);

// Looks for that disk. Blocks.
absl::StatusOr<UpgradePlace> FindPlace(const BootFacts& facts, const std::string& esp_target,
                                       const std::string& sys_block = "/sys/block");

// OK for a node that runs from a slot; else why there are no slots.
absl::Status CheckMedium(const BootFacts& facts);

}  // namespace stele::machined
