#include "machined/upgrade/remote_file.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kFirstPause = absl::Seconds(1);
constexpr absl::Duration kLook = absl::Milliseconds(200);  // how long nobody is asked whether to go on

bool MayMend(const absl::Status& status) { return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status); }

}  // namespace

absl::StatusOr<absl::string_view> RemoteFile::ReadHead(size_t size) {
  while (head_.size() < size) {
    ASSIGN_OR_RETURN(std::string bytes, ReadAt(head_.size()));
    if (bytes.empty()) return absl::OutOfRangeError(absl::StrCat("it ends after ", head_.size(), " bytes"));
    head_ += bytes;
  }
  return absl::string_view(head_).substr(0, size);
}

absl::StatusOr<std::string> RemoteFile::ReadAt(uint64_t offset) {
  if (offset < head_.size()) return head_.substr(offset);
  if (offset != position_) {
    stream_.reset();
    position_ = offset;
  }
  while (true) {
    absl::StatusOr<std::string> bytes = ReadSome();
    if (bytes.ok()) {
      position_ += bytes->size();
      if (std::exchange(waits_, false)) parts_.tell("");
      return bytes;
    }
    stream_.reset();
    RETURN_IF_ERROR(parts_.keep_going());
    if (!MayMend(bytes.status())) return bytes.status();
    RETURN_IF_ERROR(Pause(bytes.status()));
  }
}

// From the stream, which is opened when there is none. A stream that ends after it brought something may have been
// cut by somebody who thought that this was all: only one that ends at once ends the file.
absl::StatusOr<std::string> RemoteFile::ReadSome() {
  if (stream_ == nullptr) {
    brought_ = 0;
    floor_ = RateFloor();
    ASSIGN_OR_RETURN(stream_, parts_.open(position_));
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadOnce());
  brought_ += bytes.size();
  if (brought_ >= patience_.fruitful) fruitless_ = 0;
  if (bytes.empty() && brought_ > 0) return absl::UnavailableError("the connection ended");
  return bytes;
}

absl::StatusOr<std::string> RemoteFile::ReadOnce() {
  absl::Time began = absl::Now();
  while (true) {
    absl::StatusOr<std::string> bytes = stream_->Read(std::min(kLook, patience_.silence));
    RETURN_IF_ERROR(parts_.keep_going());
    absl::Duration waited = absl::Now() - began;
    if (bytes.ok()) {
      RETURN_IF_ERROR(floor_.Add(waited, bytes->size()));
      return bytes;
    }
    if (!absl::IsDeadlineExceeded(bytes.status())) return bytes;
    if (waited >= patience_.silence) {
      return absl::DeadlineExceededError(absl::StrCat("no byte came for ", absl::FormatDuration(patience_.silence)));
    }
  }
}

absl::Status RemoteFile::Pause(const absl::Status& reason) {
  if (++fruitless_ >= patience_.tries) {
    return absl::AbortedError(
        absl::StrCat(reason.message(), ", at byte ", position_, "; given up after ", fruitless_, " tries in a row"));
  }
  absl::Duration pause = std::min(kFirstPause * (1 << std::min(fruitless_ - 1, 10)), patience_.longest_pause);
  waits_ = true;
  parts_.tell(absl::StrCat(reason.message(), ", at byte ", position_, "; try ", fruitless_ + 1, " of ", patience_.tries,
                           " in ", absl::FormatDuration(pause)));
  absl::Time until = absl::Now() + pause;
  for (absl::Duration left = pause; left > absl::ZeroDuration(); left = std::min(left - kLook, until - absl::Now())) {
    RETURN_IF_ERROR(parts_.keep_going());
    parts_.sleep(std::min(left, kLook));
  }
  return absl::OkStatus();
}

}  // namespace stele::machined
