#include "machined/merged_log.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace stele::machined {
namespace {

// A chunk is full at this; a line more may be in it.
constexpr size_t kFull = 256 * 1024;

// One of the logs: the chunk that is being taken from, line by line.
class Part {
 public:
  Part(std::unique_ptr<LogSource> source, uint64_t skip) : source_(std::move(source)), skip_(skip) {}

  bool HasLine() const { return at_ < chunk_.data.size(); }
  absl::Time time() const { return time_; }

  // Reads the next chunk where none is left; `more` when there is something to read but nothing came of it yet.
  absl::Status Fill(uint64_t& lost, bool& more) {
    if (HasLine()) return absl::OkStatus();
    start_ = source_->Place();
    given_ = 0;
    at_ = mark_ = 0;
    ASSIGN_OR_RETURN(chunk_, source_->Next());
    lost += chunk_.lost_bytes;
    if (chunk_.lost_bytes > 0) skip_ = 0;  // what was to be passed over is gone with it
    more = more || chunk_.more;
    LookAtTime();
    while (skip_ > 0 && HasLine()) {
      TakeLine();
      --skip_;
      more = more || !HasLine();
    }
    return absl::OkStatus();
  }

  absl::string_view TakeLine() {
    absl::string_view rest = chunk_.data.view().substr(at_);
    size_t end = rest.find('\n');
    absl::string_view line = rest.substr(0, end == absl::string_view::npos ? end : end + 1);
    at_ += line.size();
    ++given_;
    LookAtTime();
    return line;
  }

  std::string Cursor() const {
    LogPlace place = HasLine() ? start_ : source_->Place();
    return absl::StrCat(place.cursor, "+", place.lines + (HasLine() ? given_ : 0) + skip_);
  }

 private:
  void LookAtTime() {
    for (; mark_ < chunk_.marks.size() && chunk_.marks[mark_].offset <= at_; ++mark_) time_ = chunk_.marks[mark_].time;
  }

  std::unique_ptr<LogSource> source_;
  uint64_t skip_;  // lines still to be passed over
  LogPlace start_;
  LogChunk chunk_;
  size_t at_ = 0, mark_ = 0;
  uint64_t given_ = 0;  // lines of the chunk
  absl::Time time_ = absl::InfinitePast();
};

class MergedLog : public LogSource {
 public:
  explicit MergedLog(std::vector<Part> parts) : parts_(std::move(parts)) {}

  absl::StatusOr<LogChunk> Next() override {
    LogChunk chunk;
    std::string out;
    std::vector<char> asked(parts_.size(), 0);
    bool more = false;
    while (out.size() < kFull) {
      for (size_t i = 0; i < parts_.size(); ++i) {
        // Once each: who has nothing now is not waited for.
        if (!parts_[i].HasLine() && !std::exchange(asked[i], 1)) {
          RETURN_IF_ERROR(parts_[i].Fill(chunk.lost_bytes, more));
        }
      }
      if (more) break;  // its lines may be older than what the others have
      size_t first = parts_.size();
      for (size_t i = 0; i < parts_.size(); ++i) {
        if (parts_[i].HasLine() && (first == parts_.size() || parts_[i].time() < parts_[first].time())) first = i;
      }
      if (first == parts_.size()) break;
      Take(first, chunk, out);
      if (!parts_[first].HasLine()) asked[first] = 0;
    }
    chunk.data = LogBuffer(out.size());
    std::memcpy(chunk.data.data(), out.data(), out.size());
    chunk.data.set_size(out.size());
    chunk.more = out.empty() && more;
    chunk.cursor = Place().cursor;
    return chunk;
  }

  LogPlace Place() const override {
    return {.cursor = absl::StrJoin(parts_, ",", [](std::string* text, const Part& part) { *text += part.Cursor(); })};
  }

  bool MayBlock() const override { return true; }

 private:
  void Take(size_t from, LogChunk& chunk, std::string& out) {
    absl::Time time = parts_[from].time();
    bool same = !chunk.marks.empty() && chunk.marks.back().source == from && chunk.marks.back().time == time;
    if (!same) {
      chunk.marks.push_back({static_cast<uint32_t>(out.size()), time, static_cast<uint32_t>(from)});
    }
    absl::string_view line = parts_[from].TakeLine();
    out.append(line.data(), line.size());
    // A piece of a line too long for a chunk: another log's line may follow.
    if (out.back() != '\n') out += '\n';
  }

  std::vector<Part> parts_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LogSource>> MergeLogs(size_t count, const std::string& cursor, const OpenPart& open) {
  std::vector<std::pair<std::string, uint64_t>> places(count);
  if (!cursor.empty()) {
    std::vector<std::string> words = absl::StrSplit(cursor, ',');
    absl::Status wrong = absl::InvalidArgumentError("the cursor is not one that these logs gave");
    if (words.size() != count) return wrong;
    for (size_t i = 0; i < count; ++i) {
      std::pair<std::string, std::string> word = absl::StrSplit(words[i], absl::MaxSplits('+', 1));
      places[i].first = word.first;
      if (word.first.empty() || !absl::SimpleAtoi(word.second, &places[i].second)) return wrong;
    }
  }
  std::vector<Part> parts;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(std::unique_ptr<LogSource> source, open(i, places[i].first));
    parts.emplace_back(std::move(source), places[i].second);
  }
  return absl::StatusOr<std::unique_ptr<LogSource>>(std::make_unique<MergedLog>(std::move(parts)));
}

}  // namespace stele::machined
