#include "machined/log_segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace stele::machined {
namespace {

// Lines that arrive within a step share a time: an index must stay small beside its log. The more records it has, the
// longer the step: 1 ms for the first 8,192 of a segment, eight times as long for each 8,192 more. The last would take
// months.
constexpr int64_t kTimeStepNs = 1'000'000;
constexpr uint64_t kStepBytes = 128 * 1024;
int64_t StepAt(uint64_t index_size) { return kTimeStepNs << (3 * (index_size / kStepBytes)); }
// A segment waits this much longer for a line's end.
constexpr uint64_t kLineGrace = 256 * 1024;
constexpr size_t kMaxIndex = 8 * kStepBytes;

std::string FileName(uint64_t start, absl::string_view suffix) { return absl::StrFormat("%016x.%s", start, suffix); }

uint64_t SizeOf(int fd) {
  struct stat stat;
  return ::fstat(fd, &stat) == 0 ? stat.st_size : 0;
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::vector<LogTime> ReadTimes(const std::string& path) {
  std::string bytes = ReadFile(path, kMaxIndex).value_or("");
  std::vector<LogTime> times(bytes.size() / sizeof(LogTime));
  if (!times.empty()) std::memcpy(times.data(), bytes.data(), times.size() * sizeof(LogTime));
  return times;
}

}  // namespace

std::string SegmentPath(const std::string& directory, uint64_t start) {
  return absl::StrCat(directory, "/", FileName(start, "log"));
}

std::string IndexPath(const std::string& directory, uint64_t start) {
  return absl::StrCat(directory, "/", FileName(start, "idx"));
}

std::vector<uint64_t> ListSegments(const std::string& directory) {
  std::vector<uint64_t> starts;
  std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory.c_str()), ::closedir);
  if (entries == nullptr) return starts;
  while (dirent* entry = ::readdir(entries.get())) {
    absl::string_view name = entry->d_name;
    uint64_t start;
    if (absl::ConsumeSuffix(&name, ".log") && absl::SimpleHexAtoi(name, &start)) starts.push_back(start);
  }
  std::sort(starts.begin(), starts.end());
  return starts;
}

// Where the first line begins that is whole within the last `most` bytes.
size_t BeginOfEnd(absl::string_view text, uint64_t most) {
  if (text.size() <= most) return 0;
  size_t newline = text.find('\n', text.size() - most - 1);
  return newline == absl::string_view::npos ? text.size() - most : newline + 1;
}

// Without fsync: what is kept so is kept for an end that unmounts in order.
absl::Status WriteNewFile(const std::string& path, absl::string_view bytes) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.ok()) return ErrnoStatus("create ", path);
  return Annotate(WriteAll(file.get(), bytes), absl::StrCat("write ", path));
}

// `text` is of the log from `start` on.
absl::Status WriteSegment(const std::string& directory, uint64_t start, absl::string_view text,
                          const std::vector<LogTime>& times) {
  std::vector<LogTime> kept;
  for (const LogTime& time : times) {
    // The last one before the text holds for its beginning.
    if (time.offset <= start) kept.assign(1, {start, time.time_ns});
    if (time.offset > start) kept.push_back(time);
  }
  if (kept.size() > kMaxIndex / sizeof(LogTime)) kept.resize(kMaxIndex / sizeof(LogTime));
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  absl::string_view records(reinterpret_cast<const char*>(kept.data()), kept.size() * sizeof(LogTime));
  RETURN_IF_ERROR(WriteNewFile(IndexPath(directory, start), records));
  return WriteNewFile(SegmentPath(directory, start), text);
}

absl::Status WriteLog(const std::string& directory, absl::string_view text, const std::vector<LogTime>& times,
                      uint64_t most) {
  size_t begin = BeginOfEnd(text, most);
  return WriteSegment(directory, begin, text.substr(begin), times);
}

absl::Status CopyLogEnd(const std::string& from, const std::string& to, uint64_t most) {
  std::vector<uint64_t> starts = ListSegments(from);
  if (starts.empty()) return absl::OkStatus();
  // Two segments hold more than what is wanted, and a line that begins before it.
  size_t first = starts.size() < 2 ? 0 : starts.size() - 2;
  std::string text;
  std::vector<LogTime> times;
  for (size_t i = first; i < starts.size(); ++i) {
    ASSIGN_OR_RETURN(std::string bytes, ReadFile(SegmentPath(from, starts[i]), 2 * LogWriter::kSegmentSize));
    text += bytes;
    std::vector<LogTime> some = ReadTimes(IndexPath(from, starts[i]));
    times.insert(times.end(), some.begin(), some.end());
  }
  size_t begin = BeginOfEnd(text, most);
  return WriteSegment(to, starts[first] + begin, absl::string_view(text).substr(begin), times);
}

// ---- Writing

absl::StatusOr<LogWriter> LogWriter::Open(const std::string& directory) {
  RETURN_IF_ERROR(MakeDirectories(directory, 0700));
  LogWriter writer(directory);
  std::vector<uint64_t> starts = ListSegments(directory);
  RETURN_IF_ERROR(writer.OpenSegment(starts.empty() ? 0 : starts.back()));
  return writer;
}

absl::Status LogWriter::OpenSegment(uint64_t start) {
  std::string path = SegmentPath(directory_, start);
  // Not O_APPEND: splice(2) refuses it. We are the only writer and know the end.
  UniqueFd segment(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!segment.ok()) return ErrnoStatus("open ", path);
  std::string index_path = IndexPath(directory_, start);
  UniqueFd index(::open(index_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!index.ok()) return ErrnoStatus("open ", index_path);
  segment_ = std::move(segment);
  index_ = std::move(index);
  start_ = start;
  size_ = SizeOf(segment_.get());
  index_size_ = SizeOf(index_.get());
  recorded_ns_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<size_t> LogWriter::MoveFrom(int pipe, size_t most) {
  RETURN_IF_ERROR(RotateIfDue());
  RecordTime();
  off64_t offset = size_;
  ssize_t moved = ::splice(pipe, nullptr, segment_.get(), &offset, std::min<size_t>(most, kSegmentSize),
                           SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  if (moved < 0) {
    if (errno == EAGAIN || errno == EINTR) return 0;
    return ErrnoStatus("splice to ", SegmentPath(directory_, start_));
  }
  size_ += moved;
  return moved;
}

absl::Status LogWriter::RotateIfDue() {
  if (size_ < kSegmentSize) return absl::OkStatus();
  if (size_ < kSegmentSize + kLineGrace) {
    char last = 0;
    if (::pread(segment_.get(), &last, 1, size_ - 1) == 1 && last != '\n') return absl::OkStatus();
  }
  RETURN_IF_ERROR(OpenSegment(start_ + size_));
  while (ListSegments(directory_).size() > kSegmentsKept) DropOldest();
  return absl::OkStatus();
}

void LogWriter::DropOldest() {
  std::vector<uint64_t> starts = ListSegments(directory_);
  if (starts.size() < 2) return;
  ::unlink(IndexPath(directory_, starts.front()).c_str());
  ::unlink(SegmentPath(directory_, starts.front()).c_str());
}

// Before the bytes: after a kill in between, the next record of the same place wins.
void LogWriter::RecordTime() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  LogTime record = {.offset = start_ + size_, .time_ns = now.tv_sec * 1'000'000'000LL + now.tv_nsec};
  // A clock that was set back is recorded too.
  if (index_size_ + sizeof record > kMaxIndex) return;
  if (record.time_ns >= recorded_ns_ && record.time_ns < recorded_ns_ + StepAt(index_size_)) return;
  recorded_ns_ = record.time_ns;
  ssize_t written = ::write(index_.get(), &record, sizeof record);
  if (written > 0) index_size_ += written;  // else it is full: the lines count as a little older
}

// ---- Reading

absl::StatusOr<std::unique_ptr<SegmentReader>> SegmentReader::Open(std::string directory, std::string boot,
                                                                   const LogStart& from) {
  std::unique_ptr<SegmentReader> reader(new SegmentReader(std::move(directory), std::move(boot)));
  RETURN_IF_ERROR(reader->Begin(from));
  return reader;
}

absl::Status SegmentReader::Begin(const LogStart& from) {
  // A service that writes faster than it is read would never let such a reader go.
  if (!from.follow) end_ = FindEnd();
  if (!from.cursor.empty()) {
    absl::string_view rest = from.cursor;
    size_t colon = rest.find(':');
    uint64_t place;
    if (colon == absl::string_view::npos || !absl::SimpleHexAtoi(rest.substr(colon + 1), &place)) {
      return absl::InvalidArgumentError("the cursor is not one that this log gave");
    }
    // Another boot's log is gone; this one's is all new to the reader.
    if (rest.substr(0, colon) == absl::string_view(boot_)) place_ = place;
    return absl::OkStatus();
  }
  std::vector<uint64_t> starts = ListSegments(directory_);
  place_ = starts.empty() ? 0 : starts.front();
  if (from.tail_lines > 0) place_ = FindTail(from.tail_lines);
  if (from.since != absl::InfinitePast()) place_ = std::max(place_, FindSince(from.since));
  return absl::OkStatus();
}

uint64_t SegmentReader::FindEnd() const {
  std::vector<uint64_t> starts = ListSegments(directory_);
  if (starts.empty()) return 0;
  struct stat stat = {};
  ::stat(SegmentPath(directory_, starts.back()).c_str(), &stat);
  return starts.back() + stat.st_size;
}

uint64_t SegmentReader::FindTail(uint32_t lines) const {
  std::vector<uint64_t> starts = ListSegments(directory_);
  std::string block(64 * 1024, '\0');
  uint64_t newlines = 0;
  for (auto start = starts.rbegin(); start != starts.rend(); ++start) {
    UniqueFd segment(::open(SegmentPath(directory_, *start).c_str(), O_RDONLY | O_CLOEXEC));
    if (!segment.ok()) break;  // rotated away meanwhile
    uint64_t size = SizeOf(segment.get());
    uint64_t end = size;
    while (end > 0) {
      uint64_t begin = end > block.size() ? end - block.size() : 0;
      if (::pread(segment.get(), block.data(), end - begin, begin) != static_cast<ssize_t>(end - begin)) break;
      for (uint64_t at = end - begin; at > 0; --at) {
        if (block[at - 1] != '\n') continue;
        // The newline before the wanted lines; the one that ends the last line does not count.
        if (++newlines > lines) return *start + begin + at;
      }
      end = begin;
    }
  }
  return starts.empty() ? 0 : starts.front();
}

uint64_t SegmentReader::FindSince(absl::Time since) const {
  int64_t since_ns = absl::ToUnixNanos(since);
  std::vector<uint64_t> starts = ListSegments(directory_);
  for (uint64_t start : starts) {
    for (const LogTime& time : ReadTimes(IndexPath(directory_, start))) {
      if (time.time_ns >= since_ns) return LineAfter(time.offset);
    }
  }
  return FindEnd();  // nothing so late yet: what comes next
}

// `place` where a line begins there, else where the next one does: the line in between is older.
uint64_t SegmentReader::LineAfter(uint64_t place) const {
  std::vector<uint64_t> starts = ListSegments(directory_);
  auto after = std::upper_bound(starts.begin(), starts.end(), place);
  if (after == starts.begin()) return place;
  uint64_t start = *std::prev(after);
  if (place == start) return place;
  UniqueFd segment(::open(SegmentPath(directory_, start).c_str(), O_RDONLY | O_CLOEXEC));
  std::string block(64 * 1024, '\0');
  ssize_t got = segment.ok() ? ::pread(segment.get(), block.data(), block.size(), place - 1 - start) : -1;
  if (got <= 0) return place;
  size_t newline = absl::string_view(block.data(), got).find('\n');
  return newline == absl::string_view::npos ? place : place + newline;
}

absl::Status SegmentReader::OpenAtPlace(uint64_t& lost) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<uint64_t> starts = ListSegments(directory_);
    if (starts.empty()) return absl::OkStatus();
    if (place_ < starts.front()) {
      lost += starts.front() - place_;
      place_ = starts.front();
    }
    uint64_t start = *std::prev(std::upper_bound(starts.begin(), starts.end(), place_));
    UniqueFd segment(::open(SegmentPath(directory_, start).c_str(), O_RDONLY | O_CLOEXEC));
    if (!segment.ok()) continue;  // rotated away meanwhile: look again
    segment_ = std::move(segment);
    start_ = start;
    times_.clear();
    times_read_ = 0;
    return absl::OkStatus();
  }
  return absl::UnavailableError("the log rotates faster than it is read");
}

absl::StatusOr<LogChunk> SegmentReader::Next() {
  LogChunk chunk;
  for (int moves = 0; moves < 4; ++moves) {
    if (!segment_.ok()) {
      RETURN_IF_ERROR(OpenAtPlace(chunk.lost_bytes));
      if (!segment_.ok()) break;  // nothing was ever written
    }
    ASSIGN_OR_RETURN(bool more, ReadInto(chunk));
    if (chunk.data.size() > 0 || !more) break;
    segment_.reset();  // to the next one
  }
  chunk.cursor = Cursor();
  return chunk;
}

std::string SegmentReader::Cursor() const { return absl::StrFormat("%s:%x", boot_, place_); }

// Reads at `place_`. True with a chunk, or without one where the segment is final and at its end.
absl::StatusOr<bool> SegmentReader::ReadInto(LogChunk& chunk) {
  uint64_t size = SizeOf(segment_.get());
  if (place_ > start_ + size) return absl::OutOfRangeError("the cursor is behind the log's end");
  // Once there is one that begins at its end, a segment grows no more; nor does one that was rotated away, whose next
  // one may be gone too.
  bool final = size > 0 && (Exists(SegmentPath(directory_, start_ + size)) || !Exists(SegmentPath(directory_, start_)));
  uint64_t offset = place_ - start_;
  uint64_t until = end_ > start_ ? std::min(size, end_ - start_) : 0;
  if (offset >= until) return final && place_ < end_;
  size_t want = std::min<uint64_t>(kLogChunk, until - offset);
  LogBuffer buffer(want);
  ssize_t got = ::pread(segment_.get(), buffer.data(), want, offset);
  if (got < 0) return ErrnoStatus("read ", SegmentPath(directory_, start_));
  const void* newline = ::memrchr(buffer.data(), '\n', got);
  size_t whole = newline != nullptr ? static_cast<const char*>(newline) - buffer.data() + 1 : 0;
  // The rest of a line: it goes on in the next segment, or more will come.
  if (whole == 0 && final && until == size) return ReadAcross(size, chunk);
  if (whole == 0 && static_cast<size_t>(got) < kLogChunk) return false;
  Give(std::move(buffer), whole == 0 ? got : whole, chunk);
  return true;
}

// The one line that begins in this segment, which is final, and ends in the next.
absl::StatusOr<bool> SegmentReader::ReadAcross(uint64_t size, LogChunk& chunk) {
  size_t here = size - (place_ - start_);
  std::string path = SegmentPath(directory_, start_ + size);
  UniqueFd next(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!next.ok() && errno != ENOENT) return ErrnoStatus("open ", path);
  LogBuffer buffer(here + kLogChunk);
  if (::pread(segment_.get(), buffer.data(), here, place_ - start_) != static_cast<ssize_t>(here)) {
    return ErrnoStatus("read ", SegmentPath(directory_, start_));
  }
  if (!next.ok()) {  // rotated away with the line's end
    Give(std::move(buffer), here, chunk);
    segment_.reset();
    return true;
  }
  ssize_t there = ::pread(next.get(), buffer.data() + here, kLogChunk, 0);
  if (there < 0) return ErrnoStatus("read ", path);
  const void* newline = ::memchr(buffer.data() + here, '\n', there);
  if (newline == nullptr && static_cast<size_t>(there) < kLogChunk) return false;
  size_t end = newline == nullptr ? here + there : static_cast<const char*>(newline) - buffer.data() + 1;
  Give(std::move(buffer), end, chunk);
  segment_.reset();  // the place is in the next one
  return true;
}

void SegmentReader::Give(LogBuffer buffer, size_t size, LogChunk& chunk) {
  buffer.set_size(size);
  AddMarks(place_, place_ + size, chunk);
  place_ += size;
  chunk.data = std::move(buffer);
}

void SegmentReader::AddMarks(uint64_t begin, uint64_t end, LogChunk& chunk) {
  UniqueFd index(::open(IndexPath(directory_, start_).c_str(), O_RDONLY | O_CLOEXEC));
  if (index.ok()) {
    uint64_t size = SizeOf(index.get()) / sizeof(LogTime) * sizeof(LogTime);
    size_t known = times_.size();
    if (size > times_read_ && size <= kMaxIndex) {
      times_.resize(size / sizeof(LogTime));
      ssize_t got = ::pread(index.get(), times_.data() + known, size - times_read_, times_read_);
      times_.resize(got > 0 ? known + got / sizeof(LogTime) : known);
      times_read_ = times_.size() * sizeof(LogTime);
    }
  }
  // The last record at or before `begin`, then all up to `end`.
  auto later = std::upper_bound(times_.begin(), times_.end(), begin,
                                [](uint64_t place, const LogTime& time) { return place < time.offset; });
  if (later != times_.begin()) chunk.marks.push_back({0, absl::FromUnixNanos(std::prev(later)->time_ns)});
  for (; later != times_.end() && later->offset < end; ++later) {
    chunk.marks.push_back({static_cast<uint32_t>(later->offset - begin), absl::FromUnixNanos(later->time_ns)});
  }
}

}  // namespace stele::machined
