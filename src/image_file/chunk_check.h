// The bytes of an image held against its manifest: chunk by chunk as they come, and each part as a whole.
#pragma once

#include "absl/strings/string_view.h"
#include "base/status.h"
#include "image_file/header.h"
#include "image_file/sha256.h"

namespace stele::image_file {

// Whether `bytes` are chunk `chunk` of part `part`. DATA_LOSS names the part, the chunk and where in the
// file it begins.
absl::Status CheckChunk(const Header& header, int part, int chunk, absl::string_view bytes);

// A part whose bytes come in order and in pieces of any size: checks each chunk once it is complete and
// the whole at the end. Keeps no bytes.
class PartCheck {
 public:
  // Borrows the header.
  PartCheck(const Header& header, int part) : header_(&header), part_(part) {}

  // The next bytes. DATA_LOSS for a chunk that they complete wrongly, and for bytes beyond the part.
  absl::Status Add(absl::string_view bytes);
  // Bytes so far, and those among them of which the whole chunk was checked.
  uint64_t size() const { return size_; }
  uint64_t checked() const;
  // After the last byte: that it was the last, and that the whole is what the manifest says.
  absl::Status Finish();

 private:
  absl::Status FinishChunk();

  const Header* header_;
  int part_;
  int chunk_ = 0;            // under way
  uint64_t chunk_size_ = 0;  // bytes of it so far
  uint64_t size_ = 0;
  Sha256 chunk_digest_;
  Sha256 part_digest_;
};

}  // namespace stele::image_file
