// Which partition holds the root that the command line names.
//
// Candidates are the partitions called STELE-ROOT-*. The verity tree decides; the order only says who
// is asked first, and keeps another disk, with a copy of the same version on it, from being taken
// while our own has not come up yet.
#pragma once

#include <string>
#include <vector>

#include "init/command_line.h"

namespace stele::init {

struct SlotCandidate {
  std::string partition;  // the kernel's name, such as vda2
  std::string name;       // STELE-ROOT-A
  std::string disk;       // vda
};

// The candidates below `sys_block` (/sys/class/block), by name.
std::vector<SlotCandidate> FindSlotCandidates(const std::string& sys_block = "/sys/class/block");

// The candidates to ask now, in order, of those that were not asked yet (`asked`, by partition).
// Without a `loader_partition` all of them. Else those of `own_disk` first, and others only once own
// disk was found and has none left, or `late`: it did not come in time.
std::vector<SlotCandidate> SlotsToAsk(const std::vector<SlotCandidate>& candidates,
                                      const std::vector<std::string>& asked, bool has_loader,
                                      absl::string_view own_disk, bool late);

struct RootSlot {
  std::string partition;  // the node of the slot that fits
  std::string device;     // the verity device over it
};
// Waits at most 20 s for the slot, loading drivers as devices come. Its error tells all that was looked at.
absl::StatusOr<RootSlot> OpenRootSlot(const RootVerity& root, absl::string_view loader_partition);

}  // namespace stele::init
