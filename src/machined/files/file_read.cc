#include "machined/files/file_read.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "machined/files/archive.h"

namespace stele::machined {
namespace {

constexpr uint64_t kNoEnd = std::numeric_limits<int64_t>::max();

// Sends the bytes from `at` to `end` or the file's end; `at` is then behind the last one.
absl::Status ReadUpTo(int file, uint64_t end, const ReadHands& hands, uint64_t& at) {
  std::string bytes;
  while (at < end) {
    bytes.resize(std::min<uint64_t>(kFileChunk, end - at));
    ssize_t got = ::pread(file, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read at byte ", at);
    if (got == 0) return absl::OkStatus();
    bytes.resize(static_cast<size_t>(got));
    RETURN_IF_ERROR(hands.take(at, bytes));
    at += static_cast<uint64_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadFileRange(int file, const ReadRange& range, const ReadHands& hands) {
  struct stat info;
  if (::fstat(file, &info) != 0) return ErrnoStatus("look at it");
  auto size = static_cast<uint64_t>(info.st_size);
  uint64_t at = range.offset;
  if (range.tail_bytes != 0) at = size - std::min(size, range.tail_bytes);
  if (at > kNoEnd) return absl::InvalidArgumentError("the offset is beyond any file");
  // What was asked for in all, counted down.
  uint64_t left = range.limit_bytes == 0 ? kNoEnd : range.limit_bytes;
  if (size == 0 && !range.follow) {
    uint64_t begin = at;
    RETURN_IF_ERROR(ReadUpTo(file, at + std::min({left, kMaxSizeless, kNoEnd - at}), hands, at));
    if (at - begin < kMaxSizeless || left <= kMaxSizeless) return absl::OkStatus();
    return absl::ResourceExhaustedError("it has more than 64 MiB and tells no size: ask for parts of it");
  }
  for (;;) {
    // Made shorter: it begins anew.
    if (range.follow && size < at) at = 0;
    uint64_t before = at;
    RETURN_IF_ERROR(ReadUpTo(file, std::max(at, std::min(size, at + std::min(left, kNoEnd - at))), hands, at));
    left -= at - before;
    if (!range.follow || left == 0) return absl::OkStatus();
    // Looked at before the read that finds the end, so that its last words are read.
    if (info.st_nlink == 0) return absl::OkStatus();
    RETURN_IF_ERROR(hands.pause());
    if (::fstat(file, &info) != 0) return ErrnoStatus("look at it");
    size = static_cast<uint64_t>(info.st_size);
  }
}

}  // namespace stele::machined
