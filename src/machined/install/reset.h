// Forgetting what a node keeps, in two halves.
//
// When it is asked for, the wish goes into a note on the disk (disk_note.h), in front of the partitions: a file on
// STELE-STATE would be wiped by what it asks for, and one on the ESP could be read only once FAT is mounted. Then the
// node reboots. In the next boot, before anything of the disk is mounted, the wish is carried out; the note goes last.
// A power cut in the middle begins it again, which every step of it allows.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "machined/storage.h"
#include "stele/machine/v1/install_service.pb.h"

namespace stele::machined {

struct ResetWish {
  machine::v1::ResetRequest request;
  std::string asked_by;
};

// INVALID_ARGUMENT says what is wrong: nothing to wipe, a path that leaves /var, too many or too long ones.
absl::Status CheckReset(const machine::v1::ResetRequest& request);

// One action a line, in order.
std::vector<std::string> PlanReset(const machine::v1::ResetRequest& request);

// Flushed when it returns. FAILED_PRECONDITION for a disk that has no room for notes or no partitions of ours.
absl::Status WriteResetWish(const std::string& disk, const ResetWish& wish);
// Nothing where nobody wishes.
absl::StatusOr<std::optional<ResetWish>> ReadResetWish(const std::string& disk);

// Does it; OK when all of it is done and the note gone. FAILED_PRECONDITION, and nothing is done, while a partition
// that is to be wiped is mounted (options' targets): then a reboot must come first. DATA_LOSS when what is to be kept
// cannot be read.
absl::Status CarryOutReset(const std::string& disk, const ResetWish& wish, const StorageOptions& options,
                           const std::function<void(const std::string&)>& progress);

}  // namespace stele::machined
