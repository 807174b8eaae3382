// A root slot as a dm-verity device, by device-mapper's ioctls.
#pragma once

#include <string>

#include "init/command_line.h"

namespace stele::init {

// The target's line: `device` holds data and tree; `options` with their count before them, or nothing.
std::string VerityTable(const RootVerity& root, absl::string_view device, absl::string_view options);

// Makes the verity device over `device` (a partition's node), reads the first and the last block of
// data through it, and makes every later block that does not fit its hash a panic. The path of the
// block device. Where it does not fit nothing is left behind: DATA_LOSS when the tree there is of
// another root, or damaged.
absl::StatusOr<std::string> OpenVerity(const RootVerity& root, const std::string& device);

}  // namespace stele::init
