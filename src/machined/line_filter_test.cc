#include "machined/line_filter.h"

#include <cstring>
#include <deque>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/merged_log.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::Time At(int seconds) { return absl::FromUnixSeconds(1'000'000 + seconds); }

// A log in memory: chunks of so many lines, each line of its own second. A cursor is the number of the line.
class FakeLog : public LogSource {
 public:
  struct Line {
    int second;
    std::string text;
  };
  explicit FakeLog(std::vector<Line> lines, size_t per_chunk = 2, const std::string& cursor = "")
      : lines_(std::move(lines)), per_chunk_(per_chunk), at_(cursor.empty() ? 0 : std::stoul(cursor)) {}

  absl::StatusOr<LogChunk> Next() override {
    LogChunk chunk;
    std::string text;
    for (size_t i = 0; i < per_chunk_ && at_ < lines_.size(); ++i, ++at_) {
      chunk.marks.push_back({static_cast<uint32_t>(text.size()), At(lines_[at_].second)});
      text += lines_[at_].text + "\n";
    }
    chunk.data = LogBuffer(text.size());
    std::memcpy(chunk.data.data(), text.data(), text.size());
    chunk.data.set_size(text.size());
    chunk.cursor = absl::StrCat(at_);
    return chunk;
  }
  LogPlace Place() const override { return {.cursor = absl::StrCat(at_)}; }

 private:
  std::vector<Line> lines_;
  size_t per_chunk_;
  size_t at_;
};

std::vector<FakeLog::Line> Numbers(int count) {
  std::vector<FakeLog::Line> lines;
  for (int i = 0; i < count; ++i) lines.push_back({i, absl::StrCat(i % 2 == 0 ? "even " : "odd ", i)});
  return lines;
}

// Lines as "second source text"; at most so many chunks with data.
std::vector<std::string> Read(LogSource& log, size_t chunks = SIZE_MAX, std::string* cursor = nullptr) {
  std::vector<std::string> lines;
  for (size_t taken = 0; taken < chunks;) {
    absl::StatusOr<LogChunk> chunk = log.Next();
    EXPECT_TRUE(chunk.ok()) << chunk.status();
    if (!chunk.ok() || (chunk->data.size() == 0 && !chunk->more)) break;
    if (chunk->data.size() > 0) ++taken;
    if (cursor != nullptr) *cursor = chunk->cursor;
    absl::string_view data = chunk->data.view();
    size_t mark = 0;
    for (size_t start = 0; start < data.size();) {
      while (mark + 1 < chunk->marks.size() && chunk->marks[mark + 1].offset <= start) ++mark;
      size_t end = data.find('\n', start);
      EXPECT_NE(end, absl::string_view::npos);
      lines.push_back(absl::StrCat(absl::ToInt64Seconds(chunk->marks[mark].time - At(0)), " ",
                                   chunk->marks[mark].source, " ", data.substr(start, end - start)));
      start = end + 1;
    }
  }
  return lines;
}

std::vector<std::string> Filtered(const LineWish& wish, int count = 7, size_t per_chunk = 2) {
  auto log = FilterLines(std::make_unique<FakeLog>(Numbers(count), per_chunk), wish);
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? Read(**log) : std::vector<std::string>();
}

TEST(LineFilter, KeepsLinesWithTheirTimes) {
  EXPECT_THAT(Filtered({.pattern = "odd"}), ElementsAre("1 0 odd 1", "3 0 odd 3", "5 0 odd 5"));
  EXPECT_THAT(Filtered({.pattern = "odd", .invert = true}),
              ElementsAre("0 0 even 0", "2 0 even 2", "4 0 even 4", "6 0 even 6"));
  EXPECT_THAT(Filtered({.pattern = "(?i)ODD [13]$"}), ElementsAre("1 0 odd 1", "3 0 odd 3"));
  EXPECT_THAT(Filtered({.pattern = "nothing"}), ElementsAre());
}

TEST(LineFilter, EndsBeforeATime) {
  EXPECT_THAT(Filtered({.until = At(3)}), ElementsAre("0 0 even 0", "1 0 odd 1", "2 0 even 2"));
  EXPECT_THAT(Filtered({.pattern = "odd", .until = At(3)}), ElementsAre("1 0 odd 1"));
  EXPECT_THAT(Filtered({.until = At(0)}), ElementsAre());
}

TEST(LineFilter, TheLastOfWhatFits) {
  for (size_t per_chunk : {1, 2, 3, 100}) {
    EXPECT_THAT(Filtered({.pattern = "odd", .tail_lines = 2}, 7, per_chunk), ElementsAre("3 0 odd 3", "5 0 odd 5"));
    EXPECT_THAT(Filtered({.until = At(4), .tail_lines = 3}, 7, per_chunk),
                ElementsAre("1 0 odd 1", "2 0 even 2", "3 0 odd 3"));
    EXPECT_EQ(Filtered({.pattern = "odd", .tail_lines = 9}, 7, per_chunk).size(), 3u);
  }
}

TEST(LineFilter, RefusesPatternsThatAreNoneOrTooLarge) {
  const std::pair<std::string, const char*> cases[] = {
      {"(", "the pattern is none: missing )"},
      {"(a)\\1", "the pattern is none: invalid escape"},
      {std::string(513, 'a'), "more than 512 bytes"},
      {"((a{1,30}){1,30}){1,30}", "the pattern is"},
      {"[a-z]{900}x{900}", "too large"},
  };
  for (const auto& [pattern, reason] : cases) {
    EXPECT_EQ(CheckPattern(pattern).code(), absl::StatusCode::kInvalidArgument) << pattern;
    EXPECT_THAT(std::string(CheckPattern(pattern).message()), HasSubstr(reason)) << pattern;
    EXPECT_FALSE(FilterLines(std::make_unique<FakeLog>(Numbers(1)), {.pattern = pattern}).ok()) << pattern;
  }
  EXPECT_TRUE(CheckPattern("").ok());
  EXPECT_TRUE(CheckPattern("\\bfailed\\b.*(timeout|refused)").ok());
}

// What takes an engine that tries all ways 2^30 steps takes RE2 as many as the text is long, times the program's size.
TEST(LineFilter, NoPatternTakesMoreThanLinearTime) {
  std::string text(400'000, 'a');
  for (const char* pattern : {"(a+)+$x", "(a|aa)+b", "(.*)(.*)(.*)(.*)[0-9]", "(a?){200}a{200}b", "(x+x+)+y"}) {
    auto log = FilterLines(std::make_unique<FakeLog>(std::vector<FakeLog::Line>{{0, text}}), {.pattern = pattern});
    ASSERT_TRUE(log.ok()) << pattern << log.status();
    absl::Time began = absl::Now();
    EXPECT_EQ(Read(**log).size(), 0u) << pattern;
    absl::Duration took = absl::Now() - began;
    EXPECT_LT(took, absl::Seconds(30)) << pattern;  // a machine that is starved; 2^30 steps and more would take minutes
    RecordProperty(pattern, absl::FormatDuration(took));
    printf("%s: %s over 400,000 bytes\n", pattern, absl::FormatDuration(took).c_str());
  }
}

// ---- Several as one

std::vector<FakeLog::Line> LogA() { return {{1, "a1"}, {4, "a4"}, {4, "a4 too"}, {9, "a9"}, {10, "a10"}}; }
std::vector<FakeLog::Line> LogB() { return {{2, "b2"}, {3, "b3"}, {4, "b4"}, {12, "b12"}}; }

absl::StatusOr<std::unique_ptr<LogSource>> Merge(const std::string& cursor = "", const LineWish& wish = {}) {
  return MergeLogs(2, cursor, [&](size_t part, const std::string& own) {
    LineWish from_here = wish;
    if (!own.empty()) from_here.tail_lines = 0;
    return FilterLines(std::make_unique<FakeLog>(part == 0 ? LogA() : LogB(), 3, own), from_here);
  });
}

TEST(MergedLog, InTheOrderOfTime) {
  EXPECT_THAT(Read(**Merge()), ElementsAre("1 0 a1", "2 1 b2", "3 1 b3", "4 0 a4", "4 0 a4 too", "4 1 b4", "9 0 a9",
                                           "10 0 a10", "12 1 b12"));
}

TEST(MergedLog, FiltersEachOfThem) {
  EXPECT_THAT(Read(**Merge("", {.pattern = "4"})), ElementsAre("4 0 a4", "4 0 a4 too", "4 1 b4"));
  EXPECT_THAT(Read(**Merge("", {.pattern = "[ab]", .tail_lines = 2})),
              ElementsAre("4 1 b4", "9 0 a9", "10 0 a10", "12 1 b12"));
}

// Cut behind each chunk, and by hand in the middle of the logs' own.
TEST(MergedLog, GoesOnFromEachOfItsCursors) {
  for (const LineWish& wish :
       {LineWish{}, LineWish{.pattern = "[a-z][0-9]$"}, LineWish{.pattern = ".", .tail_lines = 3}}) {
    std::vector<std::string> all = Read(**Merge("", wish)), pieces;
    EXPECT_GE(all.size(), 6u);
    std::string cursor;
    for (int cuts = 0; cuts < 20; ++cuts) {
      std::vector<std::string> lines = Read(**Merge(cursor, wish), 1, &cursor);
      if (lines.empty()) break;
      pieces.insert(pieces.end(), lines.begin(), lines.end());
    }
    EXPECT_EQ(pieces, all);
    // From the middle of both logs: two lines behind A's first chunk, and so on.
    if (wish.empty()) {
      EXPECT_THAT(Read(**Merge("3+1,0+3", wish)), ElementsAre("10 0 a10", "12 1 b12"));
      EXPECT_THAT(Read(**Merge("0+2,3+0", wish)), ElementsAre("4 0 a4 too", "9 0 a9", "10 0 a10", "12 1 b12"));
    }
  }
}

TEST(MergedLog, RefusesCursorsOfOthers) {
  for (const char* cursor : {"3", "3+1", "3+1,x", "+1,+1", "3+1,3+1,3+1", "3+1,3+-1"}) {
    EXPECT_EQ(Merge(cursor).status().code(), absl::StatusCode::kInvalidArgument) << cursor;
  }
}

// More than fits a chunk, so that cursors lie in the middle of the logs' own chunks: cut at each, nothing is lost or
// comes twice.
TEST(MergedLog, ManyChunksGiveEachLineOnce) {
  auto open = [](size_t part, const std::string& own) -> absl::StatusOr<std::unique_ptr<LogSource>> {
    std::vector<FakeLog::Line> lines;
    for (int i = 0; i < 3000; ++i) lines.push_back({2 * i + static_cast<int>(part), std::string(200, 'a' + i % 26)});
    return std::make_unique<FakeLog>(lines, 700 + part * 31, own);
  };
  std::vector<std::string> whole, pieces;
  auto log = MergeLogs(2, "", open);
  ASSERT_TRUE(log.ok());
  whole = Read(**log);
  EXPECT_EQ(whole.size(), 6000u);
  std::string cursor;
  for (int cuts = 0; cuts < 100; ++cuts) {
    auto next = MergeLogs(2, cursor, open);
    ASSERT_TRUE(next.ok()) << next.status();
    std::vector<std::string> lines = Read(**next, 1, &cursor);
    if (lines.empty()) break;
    pieces.insert(pieces.end(), lines.begin(), lines.end());
    EXPECT_LT(lines.size(), 2000u);
  }
  EXPECT_EQ(pieces, whole);
}

}  // namespace
}  // namespace stele::machined
