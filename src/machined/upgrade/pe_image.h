// The sections of an EFI program: what a UKI must have before it may be booted. Pure; every offset is
// checked against the file's size.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace stele::machined {

struct PeSection {
  uint64_t offset = 0;  // in the file
  uint64_t size = 0;    // of what it holds, without padding
};

// Headers and section table are within this many bytes, or it is none of ours.
inline constexpr size_t kPeHeadSize = 64 * 1024;

// The sections by name. `head` are the file's first bytes (kPeHeadSize, or all of it), `file_size` is
// the whole length. INVALID_ARGUMENT for what is not a 64-bit EFI application or reaches past its end.
absl::StatusOr<std::map<std::string, PeSection>> ReadPeSections(absl::string_view head, uint64_t file_size);

// The hash of stele.root=HASH:BLOCKS:SALT on a kernel command line, hex; "" without one.
std::string RootHashOf(absl::string_view command_line);

}  // namespace stele::machined
