// Why init gave up an image on trial whose machined could not say it: one sector of the disk, for the image that runs
// after it.
//
// It lies in the gap between the partition table and the first partition, at 960 KiB, behind machined's notes: no file
// system has to be mounted to write it, and one sector is written whole or not at all.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace stele {

struct LastWords {
  std::string root_hash;  // of the image; 64 hexadecimal digits
  std::string entry;      // what the loader started, as in BootFacts
  std::string text;       // why; a line, and what a log ended with
};

inline constexpr uint64_t kLastWordsOffset = 960 << 10;
inline constexpr size_t kLastWordsSize = 512;

// As the sector has it: exactly kLastWordsSize bytes. Of a text that is too long the first line and the end are kept.
std::string FormatLastWords(const LastWords& words);
// NOT_FOUND for a sector that holds none. The text is ASCII, whatever was there.
absl::StatusOr<LastWords> ParseLastWords(absl::string_view sector);

// `disk` is a whole disk, such as /dev/vda. Flushed when it returns. Both may wait on the disk.
absl::Status WriteLastWords(const std::string& disk, const LastWords& words);
absl::StatusOr<LastWords> ReadLastWords(const std::string& disk);

// /dev/vda for /dev/vda2: a partition's folder in sysfs is inside of its disk's. NOT_FOUND for what is no partition.
absl::StatusOr<std::string> WholeDiskOf(const std::string& partition,
                                        const std::string& sys_block = "/sys/class/block");

}  // namespace stele
