// A directory or a file as a tar archive, piece by piece.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "machined/files/file_walk.h"

namespace stele::machined {

// An error of either ends the archive.
struct ArchiveHands {
  // Takes a message's worth of bytes, and may wait as long as its reader does.
  std::function<absl::Status(std::string bytes)> take;
  // Asked at each entry: there may be no bytes for long.
  std::function<absl::Status()> keep_going;
};

// What one message carries at most.
inline constexpr size_t kFileChunk = 128 << 10;

struct ArchiveLimits {
  uint64_t entries = 1'000'000;
  // A sparse file may claim any size: zeros must not flow for ever.
  uint64_t bytes = 256ULL << 30;
};

// Archives `root`, which the caller may read, for `role`. A file that grows is archived as long as it was, one that
// shrinks is filled with zeros and told. RESOURCE_EXHAUSTED: more bytes than `limits`.
absl::StatusOr<machine::v1::ArchiveSummary> MakeArchive(const FoundFile& root, Need role, const ArchiveLimits& limits,
                                                        const ArchiveHands& hands);

}  // namespace stele::machined
