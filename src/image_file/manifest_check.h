// The bounds of a manifest, each of which a hostile one may miss.
#pragma once

#include "base/status.h"
#include "stele/image/v1/image_file.pb.h"

namespace stele::image_file {

// INVALID_ARGUMENT names the first field that is wrong. What passes has one UKI, one root (the last
// part) and at most one loader; hashes of the right length, one for each chunk; sizes that add up without
// overflow; and a root that is exactly its data and its verity tree.
absl::Status CheckManifest(const stele::image::v1::Manifest& manifest);

// Blocks of the hash tree over so many blocks of data (SHA-256, blocks of 4096 bytes).
uint64_t VerityTreeBlocks(uint64_t data_blocks);

}  // namespace stele::image_file
