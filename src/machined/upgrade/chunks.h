// A part of an image on a disk, held against the hashes that the manifest has of its chunks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace stele::machined {

// A part as the manifest has it.
struct PartHashes {
  uint64_t size = 0;
  std::string sha256;               // of the whole
  std::vector<std::string> chunks;  // of each chunk
  uint32_t chunk_size = 0;          // a multiple of 4096; the last one may be short
};

// Asked between chunks; an error ends the work.
using KeepGoing = std::function<absl::Status()>;

// How many bytes at the beginning of `fd` are the part's: whole chunks only. What is not there, or is
// another image's, is no error.
absl::StatusOr<uint64_t> MatchingPrefix(int fd, const PartHashes& part, const KeepGoing& keep_going);

// Reads all of it and compares chunk by chunk and as a whole. DATA_LOSS names the first that differs.
absl::Status CompareAll(int fd, const PartHashes& part, const KeepGoing& keep_going);

}  // namespace stele::machined
