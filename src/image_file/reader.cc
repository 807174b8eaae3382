#include "image_file/reader.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "image_file/chunk_check.h"

namespace stele::image_file {
namespace {

absl::StatusOr<UniqueFd> OpenForReading(const std::string& path) {
  // Without O_NONBLOCK a FIFO that nobody writes to would hold us for ever.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus("stat ", path);
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": neither a file nor a block device"));
  }
  return fd;
}

// Where a file of this length ends, for who wonders what is missing.
std::string EndsIn(const Header& header, uint64_t length) {
  for (int i = header.part_count(); i-- > 0;) {
    if (length >= header.offsets[i]) return absl::StrCat("part ", PartName(header.part(i).kind()));
  }
  return "the header";
}

absl::Status CheckLength(const Header& header, const std::string& path, uint64_t expected, uint64_t length) {
  if (length == expected) return absl::OkStatus();
  if (length > expected) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", length - expected, " bytes too many behind the image's end at ", expected));
  }
  return absl::DataLossError(
      absl::StrCat(path, ": cut short in ", EndsIn(header, length), ": ", length, " bytes of ", expected));
}

absl::StatusOr<uint64_t> LengthOf(int fd, const std::string& path) {
  off_t end = ::lseek(fd, 0, SEEK_END);  // of block devices too
  if (end < 0) return ErrnoStatus("seek to the end of ", path);
  return static_cast<uint64_t>(end);
}

}  // namespace

absl::StatusOr<Reader> Reader::Open(const std::string& path) {
  Reader reader;
  reader.path_ = path;
  ASSIGN_OR_RETURN(reader.file_, OpenForReading(path));
  RETURN_IF_ERROR(reader.ReadHeader());
  ASSIGN_OR_RETURN(uint64_t length, LengthOf(reader.file_.get(), path));
  RETURN_IF_ERROR(CheckLength(reader.header_, path, reader.header_.total_size, length));
  return reader;
}

absl::StatusOr<Reader> Reader::OpenMedium(const std::string& head, const std::string& root) {
  Reader reader;
  reader.path_ = head;
  reader.root_path_ = root;
  ASSIGN_OR_RETURN(reader.file_, OpenForReading(head));
  ASSIGN_OR_RETURN(reader.root_, OpenForReading(root));
  RETURN_IF_ERROR(reader.ReadHeader());
  ASSIGN_OR_RETURN(uint64_t length, LengthOf(reader.file_.get(), head));
  RETURN_IF_ERROR(CheckLength(reader.header_, head, reader.header_.offsets.back(), length));
  ASSIGN_OR_RETURN(uint64_t device, LengthOf(reader.root_.get(), root));
  uint64_t size = reader.header_.manifest.parts().rbegin()->size();
  if (device < size) return absl::DataLossError(absl::StrCat(root, ": ", device, " bytes of the root's ", size));
  return reader;
}

absl::Status Reader::ReadHeader() {
  ASSIGN_OR_RETURN(std::string bytes, ReadRaw(0, kPrefixSize));
  absl::StatusOr<size_t> length = HeaderLength(bytes);
  if (!length.ok()) return Annotate(length.status(), path_);
  ASSIGN_OR_RETURN(bytes, ReadRaw(0, *length));
  absl::StatusOr<Header> header = ParseHeader(bytes);
  if (!header.ok()) return Annotate(header.status(), path_);
  header_ = *std::move(header);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Reader::ReadRaw(uint64_t offset, size_t size) const {
  std::string bytes(size, '\0');
  ASSIGN_OR_RETURN(size_t got, Read(false, offset, bytes.data(), size));
  bytes.resize(got);
  return bytes;
}

absl::StatusOr<size_t> Reader::Read(bool from_root, uint64_t offset, char* bytes, size_t size) const {
  int fd = from_root ? root_.get() : file_.get();
  size_t done = 0;
  while (done < size) {
    ssize_t got = ::pread(fd, bytes + done, size - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read ", from_root ? root_path_ : path_, " at ", offset + done);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

absl::Status Reader::ReadAll(int part, uint64_t offset, char* bytes, size_t size) const {
  bool from_root = root_.ok() && part == header_.part_count() - 1;
  ASSIGN_OR_RETURN(size_t got, Read(from_root, (from_root ? 0 : header_.offsets[part]) + offset, bytes, size));
  if (got == size) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("part ", PartName(header_.part(part).kind()), " ends after ", offset + got,
                                          " of ", header_.part(part).size(), " bytes"));
}

absl::Status Reader::ReadPart(int part, const Each& each) const {
  if (part < 0 || part >= header_.part_count()) return absl::OutOfRangeError(absl::StrCat("no part ", part));
  PartCheck check(header_, part);
  std::string buffer;
  for (int chunk = 0; chunk < header_.part(part).chunks_size(); ++chunk) {
    uint64_t offset = check.size();
    buffer.resize(header_.ChunkSize(part, chunk));
    RETURN_IF_ERROR(ReadAll(part, offset, buffer.data(), buffer.size()));
    RETURN_IF_ERROR(check.Add(buffer));  // completes the chunk, so it is checked
    RETURN_IF_ERROR(each(offset, buffer));
  }
  return check.Finish();
}

absl::Status Reader::CheckPadding() const {
  auto check = [&](uint64_t begin, uint64_t end) -> absl::Status {
    std::string zeros(end - begin, '\0');
    ASSIGN_OR_RETURN(size_t got, Read(false, begin, zeros.data(), zeros.size()));
    size_t other = zeros.find_first_not_of('\0');
    if (got == zeros.size() && other == std::string::npos) return absl::OkStatus();
    uint64_t at = begin + std::min(got, other);
    return absl::DataLossError(absl::StrCat("offset ", at, ", between the parts: not zero"));
  };
  RETURN_IF_ERROR(check(header_.signed_size, header_.size));
  for (int i = 0; i < header_.part_count(); ++i) {
    if (root_.ok() && i == header_.part_count() - 1) break;  // behind the root is what else the device holds
    uint64_t end = header_.offsets[i] + header_.part(i).size();
    RETURN_IF_ERROR(check(end, header_.offsets[i] + Padded(header_.part(i).size())));
  }
  return absl::OkStatus();
}

}  // namespace stele::image_file
