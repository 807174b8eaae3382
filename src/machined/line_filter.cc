#include "machined/line_filter.h"

#include <re2/re2.h>

#include <cstring>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"

namespace stele::machined {
namespace {

constexpr int64_t kPatternMemory = 1 << 20;  // of the program and of what RE2 learns of it while it searches
constexpr size_t kMaxHeld = 8 << 20;

std::unique_ptr<RE2> Compile(const std::string& pattern) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kPatternMemory);
  options.set_encoding(RE2::Options::EncodingLatin1);  // bytes: a log need not be UTF-8
  options.set_never_capture(true);
  return std::make_unique<RE2>(pattern, options);
}

absl::Status Judge(const RE2& regex) {
  if (!regex.ok()) return absl::InvalidArgumentError(absl::StrCat("the pattern is none: ", regex.error()));
  if (regex.ProgramSize() > kMaxPatternProgram) {
    return absl::InvalidArgumentError(absl::StrCat("the pattern is too large: it means ", regex.ProgramSize(),
                                                   " steps, at most ", kMaxPatternProgram,
                                                   " are taken; are its repetitions too many?"));
  }
  return absl::OkStatus();
}

class LineFilter : public LogSource {
 public:
  LineFilter(std::unique_ptr<LogSource> source, const LineWish& wish, std::unique_ptr<RE2> regex)
      : source_(std::move(source)), wish_(wish), regex_(std::move(regex)), collecting_(wish.tail_lines > 0) {}

  absl::StatusOr<LogChunk> Next() override {
    if (collecting_) return Collect();
    if (!held_.empty()) return GiveHeld();
    return Filtered();
  }

  LogPlace Place() const override {
    if (held_.empty()) return source_->Place();
    return {held_.front().place.cursor, held_.front().place.lines + skip_};
  }

  // Always: a pattern takes its time.
  bool MayBlock() const override { return true; }

 private:
  struct Held {
    LogPlace place;  // where the chunk begins
    LogChunk chunk;
    size_t lines = 0;
  };

  // The source's next chunk, less what is not wished. Leaves the number of its lines in lines_.
  absl::StatusOr<LogChunk> Filtered() {
    lines_ = 0;
    LogChunk chunk;
    if (past_) return chunk;
    ASSIGN_OR_RETURN(chunk, source_->Next());
    if (chunk.data.size() == 0) return chunk;
    LogChunk kept = Keep(chunk);
    kept.cursor = std::move(chunk.cursor);
    kept.lost_bytes = chunk.lost_bytes;
    kept.more = kept.data.size() == 0 && !past_;
    return kept;
  }

  LogChunk Keep(const LogChunk& chunk) {
    LogChunk kept;
    LogBuffer out(chunk.data.size());
    size_t size = 0, mark = 0;
    bool marked = false;  // kept's last mark is that of the line before
    absl::string_view data = chunk.data.view();
    for (size_t start = 0; start < data.size();) {
      for (; mark < chunk.marks.size() && chunk.marks[mark].offset <= start; ++mark) {
        time_ = chunk.marks[mark].time;
        marked = false;
      }
      if (time_ >= wish_.until) {
        past_ = true;
        break;
      }
      size_t end = data.find('\n', start);
      absl::string_view line = data.substr(start, end == absl::string_view::npos ? end : end - start);
      size_t length = line.size() + (end == absl::string_view::npos ? 0 : 1);
      if (Wanted(line)) {
        if (!std::exchange(marked, true) && time_ != absl::InfinitePast()) {
          kept.marks.push_back({static_cast<uint32_t>(size), time_});
        }
        std::memcpy(out.data() + size, data.data() + start, length);
        size += length;
        ++lines_;
      }
      start += length;
    }
    if (size == 0) return kept;
    // What is kept may wait for long: only as large as it is.
    kept.data = LogBuffer(size);
    std::memcpy(kept.data.data(), out.data(), size);
    kept.data.set_size(size);
    return kept;
  }

  bool Wanted(absl::string_view line) const {
    if (regex_ == nullptr) return true;
    return RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), *regex_) != wish_.invert;
  }

  // One chunk on the way to the log's end. Nothing is given before that is found.
  absl::StatusOr<LogChunk> Collect() {
    Held held = {.place = source_->Place()};
    ASSIGN_OR_RETURN(held.chunk, Filtered());
    LogChunk nothing;
    nothing.more = true;
    lost_bytes_ += std::exchange(held.chunk.lost_bytes, 0);
    if (held.chunk.data.size() == 0) {
      if (held.chunk.more) return nothing;
      collecting_ = false;
      nothing.lost_bytes = lost_bytes_;
      if (lines_held_ > wish_.tail_lines) skip_ = lines_held_ - wish_.tail_lines;
      return nothing;
    }
    held.lines = lines_;
    lines_held_ += held.lines;
    bytes_held_ += held.chunk.data.size();
    held_.push_back(std::move(held));
    // Whole chunks that the tail does not need, or for which there is no room.
    while (lines_held_ - held_.front().lines >= wish_.tail_lines || (bytes_held_ > kMaxHeld && held_.size() > 1)) {
      lines_held_ -= held_.front().lines;
      bytes_held_ -= held_.front().chunk.data.size();
      held_.pop_front();
    }
    return nothing;
  }

  // The first of the held chunks, the first one from the tail's beginning on.
  LogChunk GiveHeld() {
    LogChunk chunk = std::move(held_.front().chunk);
    held_.pop_front();
    DropLines(std::exchange(skip_, 0), chunk);
    return chunk;
  }

  static void DropLines(size_t lines, LogChunk& chunk) {
    if (lines == 0) return;
    absl::string_view data = chunk.data.view();
    size_t begin = 0;
    for (; lines > 0 && begin < data.size(); --lines) {
      size_t end = data.find('\n', begin);
      begin = end == absl::string_view::npos ? data.size() : end + 1;
    }
    std::vector<LogChunk::Mark> marks;
    for (const LogChunk::Mark& mark : chunk.marks) {
      if (mark.offset <= begin) marks.assign(1, {0, mark.time, mark.source});
      if (mark.offset > begin) marks.push_back({static_cast<uint32_t>(mark.offset - begin), mark.time, mark.source});
    }
    chunk.marks = std::move(marks);
    LogBuffer rest(data.size() - begin);
    std::memcpy(rest.data(), data.data() + begin, data.size() - begin);
    rest.set_size(data.size() - begin);
    chunk.data = std::move(rest);
  }

  std::unique_ptr<LogSource> source_;
  const LineWish wish_;
  const std::unique_ptr<RE2> regex_;        // null: every line
  absl::Time time_ = absl::InfinitePast();  // of the line that was read last
  size_t lines_ = 0;
  bool past_ = false;  // a line of `until` or later was seen
  bool collecting_;
  std::deque<Held> held_;
  size_t lines_held_ = 0, bytes_held_ = 0, skip_ = 0;
  uint64_t lost_bytes_ = 0;
};

}  // namespace

absl::Status CheckPattern(const std::string& pattern) {
  if (pattern.size() > kMaxPattern)
    return absl::InvalidArgumentError(absl::StrCat("a pattern of more than ", kMaxPattern, " bytes"));
  return pattern.empty() ? absl::OkStatus() : Judge(*Compile(pattern));
}

absl::StatusOr<std::unique_ptr<LogSource>> FilterLines(std::unique_ptr<LogSource> source, const LineWish& wish) {
  if (wish.empty()) return absl::StatusOr<std::unique_ptr<LogSource>>(std::move(source));
  std::unique_ptr<RE2> regex;
  if (!wish.pattern.empty()) {
    if (wish.pattern.size() > kMaxPattern) RETURN_IF_ERROR(CheckPattern(wish.pattern));
    regex = Compile(wish.pattern);
    RETURN_IF_ERROR(Judge(*regex));
  }
  return absl::StatusOr<std::unique_ptr<LogSource>>(
      std::make_unique<LineFilter>(std::move(source), wish, std::move(regex)));
}

}  // namespace stele::machined
