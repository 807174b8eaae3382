#include "image_file/chunk_check.h"

#include <algorithm>

namespace stele::image_file {
namespace {

std::string Where(const Header& header, int part, int chunk) {
  uint64_t offset = header.offsets[part] + uint64_t{header.manifest.chunk_size()} * static_cast<uint64_t>(chunk);
  return absl::StrCat("part ", PartName(header.part(part).kind()), ", chunk ", chunk, " at offset ", offset);
}

absl::Status CheckChunkDigest(const Header& header, int part, int chunk, absl::string_view digest) {
  if (digest == header.part(part).chunks(chunk)) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(Where(header, part, chunk), ": not what the manifest says"));
}

}  // namespace

absl::Status CheckChunk(const Header& header, int part, int chunk, absl::string_view bytes) {
  if (part < 0 || part >= header.part_count() || chunk < 0 || chunk >= header.part(part).chunks_size()) {
    return absl::OutOfRangeError(absl::StrCat("the image has no part ", part, " with a chunk ", chunk));
  }
  if (bytes.size() != header.ChunkSize(part, chunk)) {
    return absl::DataLossError(
        absl::StrCat(Where(header, part, chunk), ": ", bytes.size(), " bytes, not ", header.ChunkSize(part, chunk)));
  }
  return CheckChunkDigest(header, part, chunk, Sha256Of(bytes));
}

uint64_t PartCheck::checked() const { return size_ - chunk_size_; }

absl::Status PartCheck::Add(absl::string_view bytes) {
  if (bytes.size() > header_->part(part_).size() - size_) {
    return absl::DataLossError(absl::StrCat("part ", PartName(header_->part(part_).kind()), ": more than its ",
                                            header_->part(part_).size(), " bytes"));
  }
  part_digest_.Update(bytes);
  while (!bytes.empty()) {
    uint64_t missing = header_->ChunkSize(part_, chunk_) - chunk_size_;
    absl::string_view piece = bytes.substr(0, std::min<uint64_t>(missing, bytes.size()));
    chunk_digest_.Update(piece);
    chunk_size_ += piece.size();
    size_ += piece.size();
    bytes.remove_prefix(piece.size());
    if (piece.size() == missing) RETURN_IF_ERROR(FinishChunk());
  }
  return absl::OkStatus();
}

absl::Status PartCheck::FinishChunk() {
  RETURN_IF_ERROR(CheckChunkDigest(*header_, part_, chunk_, chunk_digest_.Finish()));
  ++chunk_;
  chunk_size_ = 0;
  return absl::OkStatus();
}

absl::Status PartCheck::Finish() {
  const auto& part = header_->part(part_);
  if (size_ != part.size()) {
    return absl::DataLossError(
        absl::StrCat("part ", PartName(part.kind()), " ends after ", size_, " of ", part.size(), " bytes"));
  }
  if (part_digest_.Finish() != part.sha256()) {
    return absl::DataLossError(absl::StrCat("part ", PartName(part.kind()), " as a whole: not what the manifest says"));
  }
  return absl::OkStatus();
}

}  // namespace stele::image_file
