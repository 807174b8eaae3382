// The firmware's boot entries for our boot loader. They only make booting better, never decide which image runs: where
// firmware has no room for them or forgets them, the removable path EFI/BOOT/BOOTX64.EFI boots.
//
// There are four identical ones. When the loader comes back because an image cannot be loaded, firmware goes on with
// the next entry, which is the loader again, with one try of that image less: it heals within one power-on (tries + 1).
// While a loader is new there is a fifth, behind them, for the one before: firmware that refuses the new one comes to
// it (loader_trial.h).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "machined/install/efi_variables.h"

namespace stele::machined {

// A GPT partition, as device paths name it.
struct EspPartition {
  uint32_t number = 0;
  uint64_t start = 0;  // in sectors
  uint64_t size = 0;
  std::string uuid;  // 36 characters, any case
};

// An EFI_LOAD_OPTION that starts a file on a partition of a GPT disk.
struct LoadOption {
  uint32_t attributes = 1;  // active
  std::string description;  // ASCII; other characters read as '?'
  EspPartition partition;   // uuid empty: the option is about something else
  std::string file;         // with backslashes: \EFI\BOOT\BOOTX64.EFI
};

absl::StatusOr<std::string> EncodeLoadOption(const LoadOption& option);
// INVALID_ARGUMENT for what is none. Bounded by `bytes`, whatever they are.
absl::StatusOr<LoadOption> DecodeLoadOption(absl::string_view bytes);

// What is to be done, in this order: write, then the order, then remove. A cut between leaves bootable entries.
struct BootEntryPlan {
  std::map<uint16_t, std::string> write;
  std::vector<uint16_t> order;
  bool order_changes = false;
  std::vector<uint16_t> remove;
};

inline constexpr int kBootEntries = 4;

// Paths on the ESP, with slashes or backslashes.
struct LoaderOrder {
  std::string first;   // gets kBootEntries
  std::string behind;  // gets one; empty: none
};

// Whether it is certain that no partition of this machine has that GUID.
using PartitionIsGone = std::function<bool(const std::string& uuid)>;
// Looks at every disk, or at these; one that cannot be read may have it. Blocks.
bool IsOnNoDisk(const std::string& uuid);
bool IsOnNoneOf(const std::vector<std::string>& disks, const std::string& uuid);

// `existing` by number, as read. Ours are those of the same partition, and those called "Stele" that start a loader of
// ours from one that is gone: another disk with Stele in this machine keeps its own.
absl::StatusOr<BootEntryPlan> PlanBootEntries(const std::map<uint16_t, std::string>& existing,
                                              const std::vector<uint16_t>& order, const LoaderOrder& loaders,
                                              const EspPartition& esp, const PartitionIsGone& is_gone);

// Makes it so: the loaders' entries first in BootOrder, the others of ours gone, everybody else's as they were.
// Doing it again changes nothing. UNIMPLEMENTED without EFI, else as EfiVariables::Write; an order that is there and
// cannot be read is left as it is, with the error.
absl::Status PointBootEntriesTo(const LoaderOrder& loaders, const EspPartition& esp, const EfiVariables& variables,
                                const PartitionIsGone& is_gone = IsOnNoDisk);

// The files of that ESP that BootOrder has, each once, in its order, with backslashes.
absl::StatusOr<std::vector<std::string>> LoadersInOrder(const EspPartition& esp, const EfiVariables& variables);

// "EFI/systemd/a.efi" → "\EFI\systemd\a.efi".
std::string WithBackslashes(const std::string& path);
// A loader of ours, by its path with backslashes: what install and upgrade ever write.
bool IsOurLoader(const std::string& file);

}  // namespace stele::machined
