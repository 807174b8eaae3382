// The small text files of /proc and /sys, read so that what is missing is empty: hardware has what it has.
// Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "machined/proto_time.h"

namespace stele::machined {

// Without the white space around it, fit for a proto string and a terminal; at most `limit` bytes. Empty when the file
// cannot be read.
std::string TextOf(const std::string& path, size_t limit = 4096);
// As it is; empty when the file cannot be read. Of more than 8 MiB the whole lines in the first 8.
std::string BytesOf(const std::string& path);
// Decimal, or hexadecimal after 0x. `otherwise` for everything else, "max" included.
uint64_t NumberOf(const std::string& path, uint64_t otherwise = 0);
// What a folder holds, ordered; empty when it cannot be read.
std::vector<std::string> NamesIn(const std::string& folder);
// The last part of what a symbolic link names; empty when it is none.
std::string LinkName(const std::string& path);

// Control characters and what is not ASCII become '?'.
std::string Printable(absl::string_view text);

// A value in a file of "key value" lines, such as memory.events and cpu.stat; `otherwise` without such a line.
uint64_t Keyed(absl::string_view text, absl::string_view key, uint64_t otherwise = 0);

// In USER_HZ, as /proc counts.
absl::Duration FromTicks(uint64_t ticks);

}  // namespace stele::machined
