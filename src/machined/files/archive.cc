#include "machined/files/archive.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "base/tar_header.h"

namespace stele::machined {
namespace {

class Archiver : public WalkVisitor {
 public:
  Archiver(Need role, const ArchiveLimits& limits, const ArchiveHands& hands)
      : role_(role), limits_(limits), hands_(hands) {}

  absl::StatusOr<machine::v1::ArchiveSummary> Run(const FoundFile& root) {
    if (S_ISDIR(root.info.st_mode)) {
      RETURN_IF_ERROR(Header(root.path, root.info, 0, ""));
      summary_.set_directories(summary_.directories() + 1);
      WalkLimits limits;
      limits.entries = limits_.entries;
      RETURN_IF_ERROR(Walk(root, limits, *this, omissions_));
    } else {
      RETURN_IF_ERROR(File(root.path, root.fd.get()));
    }
    RETURN_IF_ERROR(Put(TarEnd()));
    RETURN_IF_ERROR(hands_.take(std::exchange(buffer_, "")));
    omissions_.AppendTo(&summary_);
    return std::move(summary_);
  }

  absl::StatusOr<Descend> Visit(const WalkEntry& entry) override {
    RETURN_IF_ERROR(hands_.keep_going());
    if (entry.need > role_) {
      omissions_.Add(
          entry.need == Need::kNobody ? machine::v1::OMISSION_REASON_NOBODY : machine::v1::OMISSION_REASON_ROLE,
          entry.path);
      return Descend::kNo;
    }
    if (S_ISDIR(entry.info.st_mode)) {
      RETURN_IF_ERROR(Header(entry.path, entry.info, 0, ""));
      summary_.set_directories(summary_.directories() + 1);
      return Descend::kYes;
    }
    if (!S_ISREG(entry.info.st_mode) && !S_ISLNK(entry.info.st_mode)) {
      omissions_.Add(machine::v1::OMISSION_REASON_KIND, entry.path);
      return Descend::kNo;
    }
    UniqueFd file = OpenBelow(entry.folder, entry.name, O_PATH, Crossing::kRefuse);
    struct stat info;
    if (!file.ok() || ::fstat(file.get(), &info) != 0) {
      omissions_.Add(errno == EXDEV ? machine::v1::OMISSION_REASON_MOUNT : machine::v1::OMISSION_REASON_CHANGED,
                     entry.path);
      return Descend::kNo;
    }
    // Another file than the one that was judged: something was renamed over it.
    if (info.st_ino != entry.info.st_ino || info.st_dev != entry.info.st_dev || info.st_mode != entry.info.st_mode) {
      omissions_.Add(machine::v1::OMISSION_REASON_CHANGED, entry.path);
      return Descend::kNo;
    }
    RETURN_IF_ERROR(File(entry.path, file.get()));
    return Descend::kNo;
  }

  absl::Status Leave(const std::string&) override { return absl::OkStatus(); }

 private:
  // A regular file or a link, behind an O_PATH descriptor.
  absl::Status File(const std::string& path, int file) {
    struct stat info;
    if (::fstat(file, &info) != 0) return ErrnoStatus("look at ", path);
    if (S_ISLNK(info.st_mode)) {
      absl::StatusOr<std::string> target = ReadLink(file);
      if (!target.ok()) return Lost(path);
      summary_.set_links(summary_.links() + 1);
      return Header(path, info, 0, *target);
    }
    absl::StatusOr<UniqueFd> open = OpenToRead(file);
    if (!open.ok()) return Lost(path);
    summary_.set_files(summary_.files() + 1);
    auto size = static_cast<uint64_t>(info.st_size);
    if (sent_ + size > limits_.bytes) {
      return absl::ResourceExhaustedError(absl::StrCat("the archive would have more than ", limits_.bytes >> 30,
                                                       " GiB with ", ShownPath(path), "; archive less at a time"));
    }
    RETURN_IF_ERROR(Header(path, info, size, ""));
    return Content(path, open->get(), size);
  }

  absl::Status Lost(const std::string& path) {
    omissions_.Add(machine::v1::OMISSION_REASON_ERROR, path);
    return absl::OkStatus();
  }

  absl::Status Header(const std::string& path, const struct stat& info, uint64_t size, const std::string& target) {
    // Whole paths, as tar itself takes them: without the first slash.
    std::string name = path == "/" ? "." : path.substr(1);
    return Put(TarHeader(name, info, size, target));
  }

  // Exactly `size` bytes, whatever becomes of the file, and padding.
  absl::Status Content(const std::string& path, int file, uint64_t size) {
    uint64_t done = 0;
    while (done < size) {
      size_t before = buffer_.size();
      size_t want = std::min<uint64_t>(kFileChunk - before, size - done);
      buffer_.resize(before + want);
      ssize_t got = ::pread(file, buffer_.data() + before, want, static_cast<off_t>(done));
      bool again = got < 0 && errno == EINTR;
      buffer_.resize(before + static_cast<size_t>(std::max<ssize_t>(got, 0)));
      if (got <= 0 && !again) break;  // shorter than it was, or the disk failed
      if (again) continue;
      done += static_cast<uint64_t>(got);
      RETURN_IF_ERROR(SendFull());
    }
    if (done < size) {
      omissions_.Add(machine::v1::OMISSION_REASON_CHANGED, path);
      RETURN_IF_ERROR(Zeros(size - done));
    }
    return Zeros(TarPadding(size));
  }

  absl::Status Zeros(uint64_t count) {
    while (count > 0) {
      size_t some = std::min<uint64_t>(kFileChunk - buffer_.size(), count);
      buffer_.append(some, '\0');
      count -= some;
      RETURN_IF_ERROR(SendFull());
    }
    return absl::OkStatus();
  }

  absl::Status Put(absl::string_view bytes) {
    while (!bytes.empty()) {
      size_t some = std::min(kFileChunk - buffer_.size(), bytes.size());
      buffer_.append(bytes.data(), some);
      bytes.remove_prefix(some);
      RETURN_IF_ERROR(SendFull());
    }
    return absl::OkStatus();
  }

  absl::Status SendFull() {
    if (buffer_.size() < kFileChunk) return absl::OkStatus();
    sent_ += buffer_.size();
    return hands_.take(std::exchange(buffer_, ""));
  }

  const Need role_;
  const ArchiveLimits limits_;
  const ArchiveHands& hands_;
  std::string buffer_;  // less than a chunk
  uint64_t sent_ = 0;
  machine::v1::ArchiveSummary summary_;
  Omissions omissions_;
};

}  // namespace

absl::StatusOr<machine::v1::ArchiveSummary> MakeArchive(const FoundFile& root, Need role, const ArchiveLimits& limits,
                                                        const ArchiveHands& hands) {
  return Archiver(role, limits, hands).Run(root);
}

}  // namespace stele::machined
