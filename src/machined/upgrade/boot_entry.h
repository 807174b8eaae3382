// The names of UKIs on the ESP, and the order in which systemd-boot 257 takes them (docs/upgrade.md).
//
//   stele-<n>.efi               good: started without counting
//   stele-<n>+<left>[-<done>].efi  on trial; with 0 left it has failed
//   stele-<n>.new               being written; the loader ignores it
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::machined {

// Boots that the loader gives an image that was activated.
inline constexpr uint32_t kTrialTries = 3;

struct BootEntry {
  enum class Kind { kWritten, kCounted, kGood };
  uint64_t number = 0;  // from 1; counts up with each activation
  Kind kind = Kind::kGood;
  uint32_t left = 0;  // kCounted: boots the loader still gives it
  uint32_t done = 0;  // kCounted: boots it has had

  bool bootable() const { return kind != Kind::kWritten; }
  bool failed() const { return kind == Kind::kCounted && left == 0; }
  bool operator==(const BootEntry&) const = default;
};

// Nothing for a name that is not one of ours, in exactly the form that FileName gives, save that a
// count of "-0" is understood.
std::optional<BootEntry> ParseBootEntry(absl::string_view name);
std::string FileName(const BootEntry& entry);

// Whether the loader shows `a` before `b`.
bool LoaderPrefers(const BootEntry& a, const BootEntry& b);
// Those the loader would start, first to last. Entries without tries are at the end: it takes one of
// them only where there is nothing else.
std::vector<BootEntry> InLoaderOrder(std::vector<BootEntry> entries);
// What the loader would start next; nothing on an empty ESP.
std::optional<BootEntry> NextBoot(const std::vector<BootEntry>& entries);
// The number for what is written next: above all that are there, whatever their state.
uint64_t NextNumber(const std::vector<BootEntry>& entries);
// The number in a name the loader told (LoaderBootCountPath: "\EFI\Linux\stele-7+2-1.efi"); 0: none of ours.
uint64_t NumberInLoaderPath(absl::string_view path);

}  // namespace stele::machined
