// What the kernel could keep of its last words: /sys/fs/pstore (EFI variables, ACPI ERST, ramoops).
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

struct PstoreRecords {
  std::string text;                // in order, at most 64 KiB
  std::vector<std::string> files;  // what it came from
};

// Mounts pstore where nobody has. An empty text when there is nothing, also on a machine that has no such store.
absl::StatusOr<PstoreRecords> ReadPstore(const std::string& folder = "/sys/fs/pstore");

// Deletes the files, which frees the room in the firmware: once what they said is on the disk.
absl::Status ErasePstore(const PstoreRecords& records);

}  // namespace stele::machined
