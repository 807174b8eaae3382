#include "image_file/header.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "image_file/manifest_check.h"
#include "image_file/signature.h"

namespace stele::image_file {
namespace {

using stele::image::v1::PartKind;
using stele::image::v1::SignedManifest;

constexpr absl::string_view kMagic = "STELEIMG";
constexpr uint32_t kFormat = 1;

template <typename... Pieces>
absl::Status Wrong(const Pieces&... pieces) {
  return absl::InvalidArgumentError(absl::StrCat(pieces...));
}

uint32_t LittleEndian(absl::string_view bytes, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<unsigned char>(bytes[offset + i])} << (8 * i);
  return value;
}

absl::Status CheckSignatures(const SignedManifest& envelope) {
  if (envelope.signatures_size() > kMaxSignatures) {
    return Wrong(envelope.signatures_size(), " signatures; at most ", kMaxSignatures);
  }
  for (int i = 0; i < envelope.signatures_size(); ++i) {
    const auto& signature = envelope.signatures(i);
    if (signature.key_id().size() != 32) {
      return Wrong("signature ", i, ": a key id of ", signature.key_id().size(), " bytes, not 32");
    }
    if (signature.signature().empty() || signature.signature().size() > 128) {
      return Wrong("signature ", i, ": ", signature.signature().size(), " bytes; 1 to 128 are one");
    }
  }
  return absl::OkStatus();
}

// The sizes are bounded already, so nothing here overflows.
void PlaceParts(Header* header) {
  uint64_t offset = header->size;
  for (const auto& part : header->manifest.parts()) {
    header->offsets.push_back(offset);
    offset += Padded(part.size());
  }
  header->total_size = offset;
}

}  // namespace

int Header::Find(PartKind kind) const {
  for (int i = 0; i < part_count(); ++i) {
    if (part(i).kind() == kind) return i;
  }
  return -1;
}

uint64_t Header::ChunkSize(int part_index, int index) const {
  uint64_t begin = uint64_t{manifest.chunk_size()} * static_cast<uint64_t>(index);
  uint64_t end = part(part_index).size();
  return index < 0 || begin >= end ? 0 : std::min<uint64_t>(manifest.chunk_size(), end - begin);
}

std::string PartName(PartKind kind) {
  std::string name = stele::image::v1::PartKind_Name(kind);
  if (name.empty()) return absl::StrCat("kind ", static_cast<int>(kind));
  constexpr absl::string_view kPrefix = "PART_KIND_";
  return absl::AsciiStrToLower(absl::StartsWith(name, kPrefix) ? name.substr(kPrefix.size()) : name);
}

absl::StatusOr<size_t> HeaderLength(absl::string_view prefix) {
  absl::string_view magic = prefix.substr(0, kMagic.size());
  if (prefix.empty() || magic != kMagic.substr(0, magic.size())) {
    return Wrong("not a Stele image file: it does not begin with ", kMagic);
  }
  if (prefix.size() < kPrefixSize) return Wrong("cut short: ", prefix.size(), " bytes of the header");
  if (uint32_t format = LittleEndian(prefix, 8); format != kFormat) {
    return Wrong("an image file of format ", format, "; this program knows format ", kFormat);
  }
  uint32_t length = LittleEndian(prefix, 12);
  if (length == 0 || length > kMaxSignedManifest) {
    return Wrong("a signed manifest of ", length, " bytes; 1 to ", kMaxSignedManifest, " are one");
  }
  return kPrefixSize + length;
}

namespace {

// What is around the manifest: up to `size` bytes of the file.
struct Envelope {
  SignedManifest message;
  size_t size = 0;
};

absl::StatusOr<Envelope> OpenEnvelope(absl::string_view bytes) {
  Envelope envelope;
  ASSIGN_OR_RETURN(envelope.size, HeaderLength(bytes));
  if (bytes.size() < envelope.size) {
    return Wrong("cut short: ", bytes.size(), " bytes of a header of ", envelope.size);
  }
  google::protobuf::LogSilencer silence;  // it would tell stderr of text that is not UTF-8
  if (!envelope.message.ParseFromArray(bytes.data() + kPrefixSize, static_cast<int>(envelope.size - kPrefixSize))) {
    return Wrong("the signed manifest is no SignedManifest message");
  }
  RETURN_IF_ERROR(CheckSignatures(envelope.message));
  return envelope;
}

absl::StatusOr<Header> DecodeManifest(Envelope envelope) {
  google::protobuf::LogSilencer silence;
  Header header;
  header.signed_size = envelope.size;
  header.size = Padded(envelope.size);
  if (!header.manifest.ParseFromString(envelope.message.manifest())) {
    return Wrong("the manifest is no Manifest message");
  }
  RETURN_IF_ERROR(CheckManifest(header.manifest));
  PlaceParts(&header);
  if (header.total_size > kMaxImage) {
    return Wrong("an image of ", header.total_size, " bytes; at most ", kMaxImage, " are taken");
  }
  header.signatures.assign(envelope.message.signatures().begin(), envelope.message.signatures().end());
  header.manifest_bytes = std::move(*envelope.message.mutable_manifest());
  return header;
}

}  // namespace

absl::StatusOr<Header> ParseHeader(absl::string_view bytes) {
  ASSIGN_OR_RETURN(Envelope envelope, OpenEnvelope(bytes));
  return DecodeManifest(std::move(envelope));
}

absl::StatusOr<Header> ParseTrustedHeader(absl::string_view bytes, const TrustedKeys& keys) {
  ASSIGN_OR_RETURN(Envelope envelope, OpenEnvelope(bytes));
  RETURN_IF_ERROR(keys.Verify(envelope.message.manifest(), envelope.message.signatures()).status());
  return DecodeManifest(std::move(envelope));
}

}  // namespace stele::image_file
