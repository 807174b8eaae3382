// The image file's header (proto/stele/image/v1/image_file.proto): what it says, once every bound of it
// was checked. Whether somebody who is trusted says so is asked of TrustedKeys (signature.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "stele/image/v1/image_file.pb.h"

namespace stele::image_file {

class TrustedKeys;

inline constexpr size_t kPrefixSize = 16;  // magic, format and length of the signed manifest
inline constexpr size_t kMaxSignedManifest = 128 << 10;
inline constexpr size_t kMaxHeader = kPrefixSize + kMaxSignedManifest;  // without the zeros behind it
inline constexpr uint64_t kAlignment = 4096;
inline constexpr uint64_t kMaxImage = uint64_t{1536} << 20;  // 1.5 GiB
inline constexpr int kMaxParts = 8;
inline constexpr int kMaxSignatures = 8;
inline constexpr uint32_t kMinChunk = 64 << 10;
inline constexpr uint32_t kMaxChunk = 4 << 20;

// `size` and the zeros up to the next multiple of kAlignment.
constexpr uint64_t Padded(uint64_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

struct Header {
  stele::image::v1::Manifest manifest;
  std::string manifest_bytes;  // what is signed
  std::vector<stele::image::v1::Signature> signatures;
  // Up to the end of the signed manifest: what StageBegin.header holds.
  uint64_t signed_size = 0;
  // With the zeros behind it: where the first part begins.
  uint64_t size = 0;
  // Where in the file each part begins, as in manifest.parts.
  std::vector<uint64_t> offsets;
  // The file's length.
  uint64_t total_size = 0;

  int part_count() const { return manifest.parts_size(); }
  const stele::image::v1::Part& part(int index) const { return manifest.parts(index); }
  // The one part of this kind; -1 when there is none.
  int Find(stele::image::v1::PartKind kind) const;
  // Bytes of chunk `index` of a part; the last one may be short.
  uint64_t ChunkSize(int part, int index) const;
};

// "loader", "uki", "root": how people are told of a part.
std::string PartName(stele::image::v1::PartKind kind);

// How many bytes of the file ParseHeader needs: Header.signed_size, at most kMaxHeader. `prefix` holds
// the file's first kPrefixSize bytes or more. INVALID_ARGUMENT: this is no image file, or one of
// another format.
absl::StatusOr<size_t> HeaderLength(absl::string_view prefix);

// `bytes` are the file's first; what follows the signed manifest is not looked at. INVALID_ARGUMENT
// names the first thing that is wrong. Nothing of it is trusted yet: for showing what a file says.
absl::StatusOr<Header> ParseHeader(absl::string_view bytes);

// Likewise, of bytes that nobody vouches for: one of `keys` must have signed the manifest's bytes, which are not
// decoded before. Up to there only the envelope was, of at most kMaxSignedManifest bytes. PERMISSION_DENIED: see
// TrustedKeys.
absl::StatusOr<Header> ParseTrustedHeader(absl::string_view bytes, const TrustedKeys& keys);

}  // namespace stele::image_file
