#include "machined/upgrade/chunks.h"

#include <algorithm>

#include "image_file/sha256.h"
#include "machined/upgrade/direct_io.h"

namespace stele::machined {
namespace {

uint64_t SizeOf(const PartHashes& part, size_t chunk) {
  return std::min<uint64_t>(part.chunk_size, part.size - chunk * uint64_t{part.chunk_size});
}

// Whether the chunk on the disk is the manifest's. `whole` gets its bytes, too.
absl::StatusOr<bool> Fits(int fd, const PartHashes& part, size_t chunk, DirectBuffer& buffer,
                          image_file::Sha256* whole) {
  image_file::Sha256 hash;
  absl::Status read =
      ReadDirect(fd, chunk * uint64_t{part.chunk_size}, SizeOf(part, chunk), buffer, [&](absl::string_view bytes) {
        hash.Update(bytes);
        if (whole != nullptr) whole->Update(bytes);
        return absl::OkStatus();
      });
  if (absl::IsDataLoss(read)) return false;  // it ends before
  RETURN_IF_ERROR(read);
  return hash.Finish() == part.chunks[chunk];
}

}  // namespace

absl::StatusOr<uint64_t> MatchingPrefix(int fd, const PartHashes& part, const KeepGoing& keep_going) {
  DirectBuffer buffer;
  for (size_t chunk = 0; chunk < part.chunks.size(); ++chunk) {
    RETURN_IF_ERROR(keep_going());
    ASSIGN_OR_RETURN(bool fits, Fits(fd, part, chunk, buffer, nullptr));
    if (!fits) return chunk * uint64_t{part.chunk_size};
  }
  return part.size;
}

absl::Status CompareAll(int fd, const PartHashes& part, const KeepGoing& keep_going) {
  DirectBuffer buffer;
  image_file::Sha256 whole;
  for (size_t chunk = 0; chunk < part.chunks.size(); ++chunk) {
    RETURN_IF_ERROR(keep_going());
    ASSIGN_OR_RETURN(bool fits, Fits(fd, part, chunk, buffer, &whole));
    if (!fits) return absl::DataLossError(absl::StrCat("chunk ", chunk, " is not what was written"));
  }
  if (whole.Finish() != part.sha256) return absl::DataLossError("it is not what was written, though each chunk is");
  return absl::OkStatus();
}

}  // namespace stele::machined
