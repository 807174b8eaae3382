// Notes on a disk of ours, in the gap between the partition table and the first partition (at 512 KiB; nobody else's:
// the table ends below 32 KiB, its entries may be at 256 KiB for a while (gpt_table.cc), partitions begin at 1 MiB).
//
// They are for what must be known before anything is mounted and must outlive the wiping of every partition:
//  - kInstalling: an installation has begun here, so a half-written table may be written over;
//  - kReset: somebody asked for a reset, with what to wipe;
//  - kMediumBoots: how often the medium was started although this disk carries Stele, where STELE-STATE cannot say it;
//  - kManifests: what a reset brings over the wiping of STELE-STATE, while that lasts.
// A note is whole blocks of 4 KiB with its length and SHA-256: torn, it does not exist. Removing it overwrites all of
// it.
#pragma once

#include <string>

#include "base/status.h"
#include "machined/install/disk_file.h"

namespace stele::machined {

enum class DiskNote { kInstalling, kReset, kMediumBoots, kManifests };

// Flushed when it returns. INVALID_ARGUMENT for a text that the note has no room for: 3 KiB, kManifests 300 KiB.
absl::Status WriteDiskNote(const DiskFile& disk, DiskNote note, const std::string& text);
// NOT_FOUND when there is none.
absl::StatusOr<std::string> ReadDiskNote(const DiskFile& disk, DiskNote note);
absl::Status RemoveDiskNote(const DiskFile& disk, DiskNote note);

// For disks that are only looked at.
absl::StatusOr<std::string> ReadDiskNote(const std::string& path, DiskNote note);

// Where notes begin: what is before them belongs to the partition table.
inline constexpr uint64_t kDiskNotesStart = 512 << 10;

}  // namespace stele::machined
