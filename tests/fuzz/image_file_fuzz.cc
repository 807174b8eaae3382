// Any bytes as the beginning of an image file: refused with a reason, or a header within every bound,
// whose chunks make up its parts.
#include <cstdint>
#include <cstdlib>

#include "image_file/chunk_check.h"
#include "image_file/header.h"
#include "image_file/signature.h"
#include "image_file/version.h"

namespace {

using namespace stele::image_file;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckParts(const Header& header) {
  Check(header.part_count() >= 2 && header.part_count() <= kMaxParts);
  uint64_t offset = header.size;
  for (int i = 0; i < header.part_count(); ++i) {
    Check(header.offsets[i] == offset && offset % kAlignment == 0);
    uint64_t size = 0;
    for (int chunk = 0; chunk < header.part(i).chunks_size(); ++chunk) size += header.ChunkSize(i, chunk);
    Check(size == header.part(i).size() && size > 0);
    Check(header.ChunkSize(i, header.part(i).chunks_size()) == 0);
    Check(!CheckChunk(header, i, 0, "").ok());
    offset += Padded(size);
  }
  Check(offset == header.total_size && offset <= kMaxImage);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<size_t> length = HeaderLength(bytes);
  absl::StatusOr<Header> header = ParseHeader(bytes);
  if (!header.ok()) {
    Check(absl::IsInvalidArgument(header.status()) && !header.status().message().empty());
  } else {
    Check(length.ok() && *length == header->signed_size && *length <= kMaxHeader && *length <= size);
    Check(header->signatures.size() <= kMaxSignatures);
    Check(ParseVersion(header->manifest.version()).ok());
    CheckParts(*header);
    Check(absl::IsPermissionDenied(TrustedKeys().Verify(header->manifest_bytes, header->signatures).status()));
  }
  absl::StatusOr<Version> version = ParseVersion(bytes);
  if (version.ok()) Check(version->Text() == bytes && CompareVersions(*version, *version) == 0);
  return 0;
}
