#include "machined/install/disk_note.h"

#include <fcntl.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "machined/config_store.h"

namespace stele::machined {
namespace {

constexpr size_t kBlock = 4096;
constexpr size_t kMagic = 16, kSum = 64, kHead = kMagic + kSum + 4;

struct Place {
  const char* magic;
  uint64_t offset;
};

Place PlaceOf(DiskNote note) {
  switch (note) {
    case DiskNote::kInstalling:
      return {"STELE-INSTALLING", kDiskNotesStart};
    case DiskNote::kReset:
      return {"STELE-RESET-WISH", kDiskNotesStart + 64 * 1024};
  }
  return {"", 0};
}

absl::StatusOr<std::string> Decode(const std::string& block, const Place& place, const std::string& path) {
  uint32_t size = 0;
  std::memcpy(&size, block.data() + kMagic + kSum, sizeof size);
  bool whole = absl::StartsWith(block, place.magic) && size <= kMaxDiskNote;
  if (whole) {
    std::string text = block.substr(kHead, size);
    if (block.substr(kMagic, kSum) == Sha256Hex(absl::StrCat(place.magic, text))) return text;
  }
  return absl::NotFoundError(absl::StrCat(path, " has no note ", place.magic));
}

}  // namespace

absl::Status WriteDiskNote(const DiskFile& disk, DiskNote note, const std::string& text) {
  if (text.size() > kMaxDiskNote) return absl::InvalidArgumentError("a note on the disk is too long");
  Place place = PlaceOf(note);
  std::string block = absl::StrCat(place.magic, Sha256Hex(absl::StrCat(place.magic, text)));
  uint32_t size = text.size();
  block.append(reinterpret_cast<const char*>(&size), sizeof size);
  block += text;
  block.resize(kBlock);
  RETURN_IF_ERROR(Annotate(disk.Write(place.offset, block), "note down"));
  return Annotate(disk.Flush(), "note down");
}

absl::StatusOr<std::string> ReadDiskNote(const DiskFile& disk, DiskNote note) {
  Place place = PlaceOf(note);
  if (disk.size() < place.offset + kBlock) return absl::NotFoundError("too small for notes");
  ASSIGN_OR_RETURN(std::string block, disk.Read(place.offset, kBlock));
  return Decode(block, place, disk.path());
}

absl::StatusOr<std::string> ReadDiskNote(const std::string& path, DiskNote note) {
  Place place = PlaceOf(note);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  std::string block(kBlock, '\0');
  ssize_t got = ::pread(fd.get(), block.data(), block.size(), place.offset);
  if (got < 0) return ErrnoStatus("read ", path);
  return Decode(block, place, path);
}

absl::Status RemoveDiskNote(const DiskFile& disk, DiskNote note) {
  RETURN_IF_ERROR(Annotate(disk.Zero(PlaceOf(note).offset, kBlock), "remove the note"));
  return Annotate(disk.Flush(), "remove the note");
}

}  // namespace stele::machined
