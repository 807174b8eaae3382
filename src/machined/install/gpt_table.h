// Partition tables, written so that a power cut leaves the one before or the new one.
//
// libfdisk writes all of a table without a flush between, and disks reorder. So it works on a sparse scratch file of
// the disk's size, in memory, and we copy the three pieces in an order of our own: the copy at the disk's end, flush;
// the table behind sector 0, flush; sector 0 (the protective MBR), flush. Without sector 0 nobody, no firmware either,
// sees a table, so on a disk without one this one sector is the commit. On a disk with a table its first header is: the
// copy does not count, since the kernel takes none and not every firmware writes it back.
#pragma once

#include <vector>

#include "base/status.h"
#include "machined/install/disk_file.h"
#include "machined/storage_layout.h"

namespace stele::machined {

// A table with fresh random GUIDs. The disk must have none: its first 512 KiB and last MiB are written over.
absl::Status WriteNewTable(const DiskFile& disk, const std::vector<PlannedPartition>& plan);

// Puts the table's copy to the disk's end and has the last partition, which must be called `label`, reach it. Nothing
// else changes, no GUID either. A disk is first seen without its copy at its end when an image was written to a larger
// one. True when something was written; false when the table fits the disk already. FAILED_PRECONDITION when the table
// is not as it must be.
absl::StatusOr<bool> GrowLastPartition(const DiskFile& disk, const std::string& label);

}  // namespace stele::machined
