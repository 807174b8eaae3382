#include "machined/install/medium_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "image_file/reader.h"
#include "image_file/signature.h"

namespace stele::machined {
namespace {

using image::v1::PartKind;
using Image = std::shared_ptr<const image_file::Reader>;

absl::StatusOr<InstallSource::Part> PartOf(const Image& image, PartKind kind) {
  int index = image->header().Find(kind);
  if (index < 0) return absl::FailedPreconditionError(absl::StrCat("the image has no ", image_file::PartName(kind)));
  return InstallSource::Part{image->header().part(index).size(),
                             [image, index](const DiskFile::Sink& sink) { return image->ReadPart(index, sink); }};
}

// The header's own bytes: what upgrades compare a slot with.
absl::StatusOr<std::string> HeaderBytes(const std::string& head, uint64_t size) {
  UniqueFd fd(::open(head.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", head);
  std::string bytes(size, '\0');
  ssize_t got = ::pread(fd.get(), bytes.data(), bytes.size(), 0);
  if (got != static_cast<ssize_t>(size)) return absl::DataLossError(absl::StrCat("read the header of ", head));
  return bytes;
}

}  // namespace

absl::StatusOr<InstallSource> OpenMediumSource(const BootFacts& facts, const MediumPaths& paths) {
  if (facts.medium == BootMedium::kSlot) {
    return absl::FailedPreconditionError("this node runs from a disk that Stele is installed on already");
  }
  if (facts.medium_root.empty() || ::access(paths.head.c_str(), R_OK) != 0) {
    return absl::FailedPreconditionError("this node was not booted from a medium that carries an image file");
  }
  ASSIGN_OR_RETURN(image_file::Reader reader, image_file::Reader::OpenMedium(paths.head, facts.medium_root));
  ASSIGN_OR_RETURN(image_file::TrustedKeys keys, image_file::TrustedKeys::Load(paths.keys));
  const image_file::Header& header = reader.header();
  RETURN_IF_ERROR(keys.Verify(header.manifest_bytes, header.signatures).status());
  InstallSource source = {.version = header.manifest.version()};
  ASSIGN_OR_RETURN(source.header, HeaderBytes(paths.head, header.signed_size));
  Image image = std::make_shared<const image_file::Reader>(std::move(reader));
  ASSIGN_OR_RETURN(source.loader, PartOf(image, image::v1::PART_KIND_LOADER));
  ASSIGN_OR_RETURN(source.uki, PartOf(image, image::v1::PART_KIND_UKI));
  ASSIGN_OR_RETURN(source.root, PartOf(image, image::v1::PART_KIND_ROOT));
  return source;
}

}  // namespace stele::machined
