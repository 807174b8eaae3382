#include "machined/install/disk_note.h"

#include <fcntl.h>

#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "base/last_words.h"
#include "machined/config_store.h"

namespace stele::machined {
namespace {

constexpr size_t kBlock = 4096;
constexpr uint64_t kManifestsAt = kDiskNotesStart + (128 << 10);
constexpr size_t kMaxManifests = 300 << 10;
constexpr size_t kMagic = 16, kSum = 64, kHead = kMagic + kSum + 4;

struct Place {
  const char* magic;
  uint64_t offset;
  size_t max_text;
};

Place PlaceOf(DiskNote note) {
  switch (note) {
    case DiskNote::kInstalling:
      return {"STELE-INSTALLING", kDiskNotesStart, 3 << 10};
    case DiskNote::kReset:
      return {"STELE-RESET-WISH", kDiskNotesStart + (64 << 10), 3 << 10};
    case DiskNote::kMediumBoots:
      return {"STELE-MED-BOOTS-", kDiskNotesStart + (96 << 10), 64};
    case DiskNote::kManifests:
      return {"STELE-MANIFESTS-", kManifestsAt, kMaxManifests};
  }
  return {"", 0, 0};
}

constexpr size_t BlocksOf(size_t text) { return (kHead + text + kBlock - 1) / kBlock * kBlock; }

// Between the notes and the first partition lies what init writes.
static_assert(kManifestsAt + BlocksOf(kMaxManifests) <= kLastWordsOffset);
static_assert(kLastWordsOffset + kLastWordsSize <= 1 << 20);

absl::Status ReadAt(int fd, uint64_t offset, size_t size, const std::string& path, std::string* bytes) {
  bytes->resize(size);
  ssize_t got = ::pread(fd, bytes->data(), size, offset);
  if (got < 0) return ErrnoStatus("read ", path);
  // A disk that ends here has no room for notes.
  if (static_cast<size_t>(got) < size) return absl::NotFoundError(absl::StrCat(path, " has no notes"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadNote(int fd, const Place& place, const std::string& path) {
  absl::Status none = absl::NotFoundError(absl::StrCat(path, " has no note ", place.magic));
  std::string bytes;
  RETURN_IF_ERROR(ReadAt(fd, place.offset, kBlock, path, &bytes));
  uint32_t size = 0;
  std::memcpy(&size, bytes.data() + kMagic + kSum, sizeof size);
  if (!absl::StartsWith(bytes, place.magic) || size > place.max_text) return none;
  RETURN_IF_ERROR(ReadAt(fd, place.offset, BlocksOf(size), path, &bytes));
  std::string text = bytes.substr(kHead, size);
  return bytes.substr(kMagic, kSum) == Sha256Hex(absl::StrCat(place.magic, text)) ? absl::StatusOr<std::string>(text)
                                                                                  : none;
}

}  // namespace

absl::Status WriteDiskNote(const DiskFile& disk, DiskNote note, const std::string& text) {
  Place place = PlaceOf(note);
  if (text.size() > place.max_text) return absl::InvalidArgumentError("a note on the disk is too long");
  std::string blocks = absl::StrCat(place.magic, Sha256Hex(absl::StrCat(place.magic, text)));
  uint32_t size = text.size();
  blocks.append(reinterpret_cast<const char*>(&size), sizeof size);
  blocks += text;
  blocks.resize(BlocksOf(size));
  RETURN_IF_ERROR(Annotate(disk.Write(place.offset, blocks), "note down"));
  return Annotate(disk.Flush(), "note down");
}

absl::StatusOr<std::string> ReadDiskNote(const DiskFile& disk, DiskNote note) {
  return ReadNote(disk.fd(), PlaceOf(note), disk.path());
}

absl::StatusOr<std::string> ReadDiskNote(const std::string& path, DiskNote note) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  return ReadNote(fd.get(), PlaceOf(note), path);
}

absl::Status RemoveDiskNote(const DiskFile& disk, DiskNote note) {
  Place place = PlaceOf(note);
  RETURN_IF_ERROR(Annotate(disk.Zero(place.offset, BlocksOf(place.max_text)), "remove the note"));
  return Annotate(disk.Flush(), "remove the note");
}

}  // namespace stele::machined
