// What init found out about this boot, for machined: /run/stele/boot, one key=value a line.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace stele {

inline constexpr char kBootFactsFile[] = "/run/stele/boot";

// Where the root came from.
enum class BootMedium : uint8_t {
  kUnknown = 0,  // init is no machine's PID 1
  kMemory,       // the image travelled in the initramfs
  kSlot,         // a partition, verified by dm-verity
};

struct BootFacts {
  BootMedium medium = BootMedium::kUnknown;
  std::string root_hash;          // verity's, as on the command line: 64 hexadecimal digits; empty if it names none
  std::string root_device;        // the slot's partition, such as /dev/vda2; from memory the loop device
  bool trial = false;             // the loader counts this boot's tries
  std::string loader_partition;   // PARTUUID of the ESP that the loader came from, lower case; empty without a loader
  std::string entry;              // LoaderBootCountPath, when it is of this boot: \EFI\Linux\stele-7+2-1.efi
  std::string medium_root;        // from memory: the device with the root part of the image file
  uint64_t medium_root_size = 0;  // and its bytes
  bool watchdog_reset = false;    // the hardware watchdog ended the boot before
};

std::string FormatBootFacts(const BootFacts& facts);
// INVALID_ARGUMENT with the line that is wrong. A key it does not know is passed over.
absl::StatusOr<BootFacts> ParseBootFacts(absl::string_view text);
absl::StatusOr<BootFacts> ReadBootFacts(const std::string& path = kBootFactsFile);

// Whether the loader counts tries of the entry at `path`: its name ends in +N or +N-M before .efi.
bool IsCountedEntry(absl::string_view path);

}  // namespace stele
