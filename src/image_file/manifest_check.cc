#include "image_file/manifest_check.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "image_file/header.h"
#include "image_file/sha256.h"
#include "image_file/version.h"

namespace stele::image_file {
namespace {

using stele::image::v1::Manifest;
using stele::image::v1::Part;
using stele::image::v1::Verity;

constexpr uint64_t kVerityBlock = 4096;
constexpr uint64_t kHashesPerBlock = kVerityBlock / kSha256Size;
constexpr size_t kMaxSalt = 32;
constexpr size_t kMaxArchitecture = 32;
constexpr size_t kMaxBuildId = 128;

template <typename... Pieces>
absl::Status Wrong(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

// These words are printed, and compared with file names: no spaces, nothing that steers a terminal.
absl::Status CheckWord(absl::string_view name, absl::string_view word, size_t limit) {
  if (word.size() > limit) return Wrong(name, " of ", word.size(), " bytes; at most ", limit);
  if (!std::all_of(word.begin(), word.end(), [](char c) { return absl::ascii_isgraph(c); })) {
    return Wrong(name, " holds what is no printable character");
  }
  return absl::OkStatus();
}

absl::Status CheckNames(const Manifest& manifest) {
  RETURN_IF_ERROR(Annotate(ParseVersion(manifest.version()).status(), "version"));
  if (!manifest.minimum_version().empty()) {
    RETURN_IF_ERROR(Annotate(ParseVersion(manifest.minimum_version()).status(), "minimum_version"));
  }
  if (manifest.architecture().empty()) return Wrong("no architecture");
  RETURN_IF_ERROR(CheckWord("architecture", manifest.architecture(), kMaxArchitecture));
  RETURN_IF_ERROR(CheckWord("build_id", manifest.build_id(), kMaxBuildId));
  if (size_t size = manifest.sbom_sha256().size(); size != 0 && size != kSha256Size) {
    return Wrong("sbom_sha256 of ", size, " bytes, not ", kSha256Size);
  }
  return absl::OkStatus();
}

absl::Status CheckPart(const Part& part, uint32_t chunk_size) {
  // Before any arithmetic: whatever adds up below this bound does not overflow.
  if (part.size() == 0 || part.size() > kMaxImage) return Wrong(part.size(), " bytes; 1 to ", kMaxImage, " are taken");
  if (part.sha256().size() != kSha256Size) {
    return Wrong("sha256 of ", part.sha256().size(), " bytes, not ", kSha256Size);
  }
  uint64_t chunks = (part.size() + chunk_size - 1) / chunk_size;
  if (static_cast<uint64_t>(part.chunks_size()) != chunks) {
    return Wrong(part.chunks_size(), " chunks for ", part.size(), " bytes, which are ", chunks);
  }
  for (int i = 0; i < part.chunks_size(); ++i) {
    if (part.chunks(i).size() != kSha256Size) {
      return Wrong("chunk ", i, ": a hash of ", part.chunks(i).size(), " bytes, not ", kSha256Size);
    }
  }
  return absl::OkStatus();
}

absl::Status CheckParts(const Manifest& manifest) {
  uint32_t chunk = manifest.chunk_size();
  if (chunk < kMinChunk || chunk > kMaxChunk || (chunk & (chunk - 1)) != 0) {
    return Wrong("chunk_size ", chunk, ": a power of two from ", kMinChunk, " to ", kMaxChunk, " is one");
  }
  if (manifest.parts_size() > kMaxParts) return Wrong(manifest.parts_size(), " parts; at most ", kMaxParts);
  int seen[stele::image::v1::PartKind_ARRAYSIZE] = {};
  for (int i = 0; i < manifest.parts_size(); ++i) {
    const Part& part = manifest.parts(i);
    if (part.kind() == stele::image::v1::PART_KIND_UNSPECIFIED || !stele::image::v1::PartKind_IsValid(part.kind())) {
      return Wrong("part ", i, ": of a kind that is not known here: ", static_cast<int>(part.kind()));
    }
    RETURN_IF_ERROR(Annotate(CheckPart(part, chunk), absl::StrCat("part ", i, " (", PartName(part.kind()), ")")));
    if (++seen[part.kind()] > 1) return Wrong("part ", i, ": a second ", PartName(part.kind()));
  }
  if (seen[stele::image::v1::PART_KIND_UKI] == 0) return Wrong("no part is the uki");
  if (seen[stele::image::v1::PART_KIND_ROOT] == 0) return Wrong("no part is the root");
  if (manifest.parts().rbegin()->kind() != stele::image::v1::PART_KIND_ROOT)
    return Wrong("the root is not the last part");
  return absl::OkStatus();
}

// After CheckParts: the root is there and bounded.
absl::Status CheckVerity(const Verity& verity, uint64_t root_size) {
  if (verity.root_hash().size() != kSha256Size) {
    return Wrong("verity: root_hash of ", verity.root_hash().size(), " bytes, not ", kSha256Size);
  }
  if (verity.salt().size() > kMaxSalt) {
    return Wrong("verity: salt of ", verity.salt().size(), " bytes; at most ", kMaxSalt);
  }
  uint64_t blocks = verity.data_blocks();
  if (blocks == 0 || blocks > kMaxImage / kVerityBlock) return Wrong("verity: ", blocks, " blocks of data");
  uint64_t size = (blocks + VerityTreeBlocks(blocks)) * kVerityBlock;
  if (size != root_size) {
    return Wrong("verity: ", blocks, " blocks of data and their tree are ", size, " bytes; the root has ", root_size);
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t VerityTreeBlocks(uint64_t data_blocks) {
  uint64_t tree = 0;
  for (uint64_t level = data_blocks; level > 1;) {
    level = (level + kHashesPerBlock - 1) / kHashesPerBlock;
    tree += level;
  }
  return tree;
}

absl::Status CheckManifest(const Manifest& manifest) {
  RETURN_IF_ERROR(CheckNames(manifest));
  RETURN_IF_ERROR(CheckParts(manifest));
  return CheckVerity(manifest.verity(), manifest.parts().rbegin()->size());
}

}  // namespace stele::image_file
