// A disk image that was written to a larger disk takes all of it: once, at the first boot, and nothing but the end of
// the last partition moves.
//
// GUIDs stay as the image had them. Fresh ones would be nicer where two such disks meet, but the boot under way was
// told its ESP's by the loader (LoaderDevicePartUUID), and everything that looks for its own disk compares with that:
// for one machine with one such disk there is nothing to win and a boot to lose. An installation makes fresh ones.
#pragma once

#include <string>

#include "base/status.h"

namespace stele::machined {

// Before anything is mounted: the table (gpt_table.h), and what the kernel knows of the partition. True when it grew.
absl::StatusOr<bool> GrowDataPartition(const std::string& disk);

// Once it is mounted: the ext4 in it, online, by the kernel. Compares the file system with its partition, so that it
// goes on where a power cut came between. True when it grew.
absl::StatusOr<bool> GrowFilesystem(const std::string& device, const std::string& mount);

}  // namespace stele::machined
