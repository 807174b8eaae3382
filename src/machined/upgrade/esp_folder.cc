#include "machined/upgrade/esp_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "image_file/sha256.h"
#include "machined/upgrade/direct_io.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxNames = 256;  // in a folder; more is somebody's mistake
constexpr int kMaxTwins = 9;       // of one name

absl::StatusOr<UniqueFd> OpenIn(int folder, const std::string& name, int flags) {
  UniqueFd fd(::openat(folder, name.c_str(), flags | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) return ErrnoStatus("open ", name);
  return fd;
}

// What tells that two names are one file: its first block, and the inode where blocks are not told.
struct Place {
  dev_t device = 0;
  ino_t inode = 0;
  int block = 0;  // 0: not known, or an empty file
};

absl::StatusOr<Place> PlaceOf(int fd, const std::string& name) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus("stat ", name);
  Place place = {info.st_dev, info.st_ino, 0};
  // vfat numbers inodes as it meets them, so only blocks tell there. File systems without FIBMAP have no twins.
  if (::ioctl(fd, FIBMAP, &place.block) != 0) place.block = 0;
  return place;
}

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::binary_search(names.begin(), names.end(), name);
}

}  // namespace

absl::StatusOr<uint64_t> EspFile::MatchingPrefix(const PartHashes& part, const KeepGoing& keep_going) const {
  DropCache(direct_.get());
  return machined::MatchingPrefix(direct_.get(), part, keep_going);
}

absl::Status EspFile::Write(uint64_t offset, absl::string_view bytes) {
  if (offset > size_ || bytes.size() > size_ - offset) return absl::InternalError("write past the end of " + name_);
  while (!bytes.empty()) {
    ssize_t put = ::pwrite(fd_.get(), bytes.data(), bytes.size(), offset);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return ErrnoStatus("write ", name_, " at ", offset);
    bytes.remove_prefix(put);
    offset += put;
  }
  return absl::OkStatus();
}

absl::Status EspFile::Flush() {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus("fsync ", name_);
  DropCache(fd_.get());
  return absl::OkStatus();
}

absl::Status EspFile::ReadBack(uint64_t begin, uint64_t end, const ReadSink& sink) {
  RETURN_IF_ERROR(Flush());
  DirectBuffer buffer;
  return Annotate(ReadDirect(direct_.get(), begin, end - begin, buffer, sink), absl::StrCat("read back ", name_));
}

absl::StatusOr<EspFolder> EspFolder::Open(const std::string& mount, const std::string& path) {
  std::string full = absl::StrCat(mount, "/", path);
  UniqueFd folder(::open(full.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return ErrnoStatus("open ", full);
  return EspFolder(std::move(folder), path);
}

absl::StatusOr<std::vector<std::string>> EspFolder::Names() const {
  // A description of its own: positions are shared between duplicates.
  int fd = ::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("open ", path_);
  std::unique_ptr<DIR, int (*)(DIR*)> folder(::fdopendir(fd), ::closedir);
  if (folder == nullptr) {
    ::close(fd);
    return absl::ResourceExhaustedError(absl::StrCat("read ", path_, ": no memory"));
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    dirent* entry = ::readdir(folder.get());
    if (entry == nullptr && errno != 0) return ErrnoStatus("read ", path_);
    if (entry == nullptr) break;
    if (entry->d_type == DT_DIR) continue;
    if (names.size() == kMaxNames)
      return absl::ResourceExhaustedError(absl::StrCat(path_, " holds more than ", kMaxNames, " files"));
    names.push_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<uint64_t> EspFolder::FreeBytes() const {
  struct statvfs info;
  if (::fstatvfs(folder_.get(), &info) != 0) return ErrnoStatus("ask for free space on the ESP");
  return uint64_t{info.f_bavail} * info.f_frsize;
}

absl::StatusOr<EspFile> EspFolder::BeginWrite(const std::string& name, uint64_t size) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd fd(::openat(folder_.get(), name.c_str(), kFlags, 0600));
  if (!fd.ok()) return ErrnoStatus("create ", name);
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
  // What a cut left, of another image: two names for one file must not be truncated.
  RETURN_IF_ERROR(CheckNoTwin(fd.get(), name));
  char last;
  if (info.st_size > 0 && ::pread(fd.get(), &last, 1, info.st_size - 1) != 1) {
    // A cut may leave the name with its size and first cluster, and the chain of clusters not written: vfat has no
    // order between them. Such a file can never be written; it goes, and what of its clusters was taken is lost.
    if (::unlinkat(folder_.get(), name.c_str(), 0) != 0)
      return ErrnoStatus("remove ", name, ", whose clusters a power cut lost");
    fd.reset(::openat(folder_.get(), name.c_str(), kFlags | O_EXCL, 0600));
    if (!fd.ok()) return ErrnoStatus("create ", name);
    info.st_size = 0;
  }
  if (static_cast<uint64_t>(info.st_size) > size && ::ftruncate(fd.get(), size) != 0)
    return ErrnoStatus("shorten ", name);
  if (::fallocate(fd.get(), 0, 0, size) != 0) return ErrnoStatus("take ", size, " bytes for ", name);
  // Size and clusters first, or a cut leaves a name without them and the resume begins again.
  if (::fsync(fd.get()) != 0) return ErrnoStatus("fsync ", name);
  if (::fsync(folder_.get()) != 0) return ErrnoStatus("fsync ", path_);
  ASSIGN_OR_RETURN(UniqueFd direct, OpenDirect(folder_.get(), name, O_RDONLY));
  return EspFile(std::move(fd), std::move(direct), name, size);
}

absl::StatusOr<UniqueFd> EspFolder::OpenSized(const std::string& name, uint64_t size) const {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenDirect(folder_.get(), name, O_RDONLY));
  DropCache(fd.get());
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", name);
  if (static_cast<uint64_t>(info.st_size) != size) {
    return absl::DataLossError(absl::StrCat(name, " has ", info.st_size, " bytes instead of ", size));
  }
  return fd;
}

absl::Status EspFolder::ReadBack(const std::string& name, uint64_t size, absl::string_view sha256) const {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenSized(name, size));
  DirectBuffer buffer;
  image_file::Sha256 hash;
  absl::Status read = ReadDirect(fd.get(), 0, size, buffer, [&hash](absl::string_view bytes) {
    hash.Update(bytes);
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(Annotate(read, absl::StrCat("read back ", name)));
  if (hash.Finish() != sha256) return absl::DataLossError(absl::StrCat(name, " is not what was written"));
  return absl::OkStatus();
}

absl::Status EspFolder::Rename(const std::string& from, const std::string& to) {
  // Opened under the old name and fsynced after the rename: that writes size and first cluster into the new
  // directory entry.
  absl::StatusOr<UniqueFd> file = OpenIn(folder_.get(), from, O_RDONLY);
  if (absl::IsNotFound(file.status())) file = OpenIn(folder_.get(), to, O_RDONLY);  // done before a cut
  RETURN_IF_ERROR(Annotate(file.status(), absl::StrCat("rename ", from, " to ", to)));
  if (from != to && ::renameat2(folder_.get(), from.c_str(), folder_.get(), to.c_str(), RENAME_NOREPLACE) != 0 &&
      errno != ENOENT) {
    return ErrnoStatus("rename ", from, " to ", to);
  }
  if (::fsync(file->get()) != 0) return ErrnoStatus("fsync ", to);
  if (::fsync(folder_.get()) != 0) return ErrnoStatus("fsync ", path_);
  if (::syncfs(folder_.get()) != 0) return ErrnoStatus("sync the ESP");
  ASSIGN_OR_RETURN(std::vector<std::string> names, Names());
  if (!Has(names, to) || (from != to && Has(names, from))) {
    return absl::DataLossError(absl::StrCat("the ESP did not keep the name ", to));
  }
  return absl::OkStatus();
}

absl::Status EspFolder::CheckNoTwin(int fd, const std::string& name) const {
  ASSIGN_OR_RETURN(Place place, PlaceOf(fd, name));
  ASSIGN_OR_RETURN(std::vector<std::string> names, Names());
  for (const std::string& other : names) {
    if (other == name) continue;
    absl::StatusOr<UniqueFd> other_fd = OpenIn(folder_.get(), other, O_RDONLY | O_NONBLOCK);
    if (absl::IsNotFound(other_fd.status())) continue;
    RETURN_IF_ERROR(other_fd.status());
    ASSIGN_OR_RETURN(Place found, PlaceOf(other_fd->get(), other));
    bool same_block = place.block != 0 && place.block == found.block && place.device == found.device;
    bool same_inode = place.inode == found.inode && place.device == found.device;
    if (same_block || same_inode) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " and ", other,
                       " are two names of the same data, as a power cut leaves them: neither is freed or written. "
                       "Staging an image or cancelling one sets such a pair aside"));
    }
  }
  return absl::OkStatus();
}

absl::Status EspFolder::Remove(const std::string& name) {
  absl::StatusOr<UniqueFd> fd = OpenIn(folder_.get(), name, O_RDONLY);
  if (absl::IsNotFound(fd.status())) return absl::OkStatus();
  RETURN_IF_ERROR(fd.status());
  RETURN_IF_ERROR(CheckNoTwin(fd->get(), name));
  if (::unlinkat(folder_.get(), name.c_str(), 0) != 0 && errno != ENOENT) return ErrnoStatus("remove ", name);
  if (::fsync(folder_.get()) != 0) return ErrnoStatus("fsync ", path_);
  if (::syncfs(folder_.get()) != 0) return ErrnoStatus("sync the ESP");
  return absl::OkStatus();
}

absl::Status EspFolder::SetAside(const std::string& name) {
  std::string stem = name.substr(0, name.rfind('.'));
  absl::Status renamed = Rename(name, stem + ".twin");
  // Numbers of images come again once all names with them are set aside: so may this one.
  for (int twin = 2; absl::IsAlreadyExists(renamed) && twin <= kMaxTwins; ++twin) {
    renamed = Rename(name, absl::StrCat(stem, ".twin", twin));
  }
  return renamed;
}

absl::Status EspFolder::RemoveOrSetAside(const std::string& name) {
  absl::Status removed = Remove(name);
  return absl::IsFailedPrecondition(removed) ? SetAside(name) : removed;
}

}  // namespace stele::machined
