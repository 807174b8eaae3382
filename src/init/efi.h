// What the boot loader left in EFI variables (systemd's boot loader interface).
#pragma once

#include <string>

#include "base/boot_facts.h"

namespace stele::init {

inline constexpr char kEfiVariables[] = "/sys/firmware/efi/efivars";

// Mounts the variables read-only, where the firmware is EFI; NOT_FOUND where it is not. Needs the
// module efivarfs.
absl::Status MountEfiVariables();

// A variable of the loader's as plain text; NOT_FOUND without it. What is not ASCII is '?'.
absl::StatusOr<std::string> ReadLoaderVariable(const char* name, const std::string& directory = kEfiVariables);

// loader_partition, entry and trial. The entry is empty unless this boot is the one that was counted: the variables
// live until the next power-on or reset, so after a `kexec` entry and trial are of a boot before.
void ReadLoaderFacts(BootFacts& facts, bool kexec, const std::string& directory = kEfiVariables);

}  // namespace stele::init
