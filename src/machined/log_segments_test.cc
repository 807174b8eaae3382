#include "machined/log_segments.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <random>
#include <thread>

#include "absl/strings/str_split.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::machined {
namespace {

constexpr char kBoot[] = "b00t";

class LogSegments : public testing::Test {
 protected:
  LogSegments() {
    // Memory, as on a node: what splice does there is what counts.
    std::string path = "/dev/shm/log_segments_test.XXXXXX";
    directory_ = ::mkdtemp(path.data());
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_.reset(ends[0]);
    write_.reset(ends[1]);
    ::fcntl(read_.get(), F_SETFL, O_NONBLOCK);
  }
  ~LogSegments() override {
    std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory_.c_str()), ::closedir);
    while (dirent* entry = ::readdir(entries.get())) ::unlink((directory_ + "/" + entry->d_name).c_str());
    ::rmdir(directory_.c_str());
  }

  void Write(LogWriter& writer, const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      size_t part = std::min<size_t>(text.size() - at, 32 * 1024);
      ASSERT_TRUE(WriteAll(write_.get(), text.substr(at, part)).ok());
      at += part;
      while (true) {
        absl::StatusOr<size_t> moved = writer.MoveFrom(read_.get(), 1 << 20);
        ASSERT_TRUE(moved.ok()) << moved.status();
        if (*moved == 0) break;
      }
    }
  }

  std::unique_ptr<SegmentReader> Reader(const LogStart& from = {}, const std::string& boot = kBoot) {
    auto reader = SegmentReader::Open(directory_, boot, from);
    EXPECT_TRUE(reader.ok()) << reader.status();
    return *std::move(reader);
  }

  // All there is now.
  std::string ReadAll(SegmentReader& reader, std::string* cursor = nullptr, uint64_t* lost = nullptr) {
    std::string all;
    while (true) {
      absl::StatusOr<LogChunk> chunk = reader.Next();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok()) return all;
      if (cursor != nullptr) *cursor = chunk->cursor;
      if (lost != nullptr) *lost += chunk->lost_bytes;
      if (chunk->data.size() == 0) return all;
      all.append(chunk->data.view().data(), chunk->data.size());
      EXPECT_EQ(all.back(), '\n');
    }
  }

  std::string directory_;
  UniqueFd read_;
  UniqueFd write_;
};

std::string Lines(int first, int last) {
  std::string lines;
  for (int i = first; i <= last; ++i) absl::StrAppend(&lines, "line ", i, "\n");
  return lines;
}

TEST_F(LogSegments, WhatIsWrittenIsRead) {
  LogWriter writer = *LogWriter::Open(directory_);
  Write(writer, Lines(1, 100));
  auto reader = Reader();
  EXPECT_EQ(ReadAll(*reader), Lines(1, 100));
  Write(writer, Lines(101, 200));
  EXPECT_EQ(ReadAll(*reader), Lines(101, 200));
}

TEST_F(LogSegments, WhoDoesNotFollowIsGivenWhatThereWas) {
  LogWriter writer = *LogWriter::Open(directory_);
  EXPECT_EQ(ReadAll(*Reader({.follow = false})), "");
  std::string text = Lines(1, 250'000);  // more than a segment
  Write(writer, text + "half");
  auto all = Reader({.follow = false});
  auto last = Reader({.tail_lines = 2, .follow = false});
  Write(writer, " and half\n" + Lines(1, 250'000));
  EXPECT_EQ(ReadAll(*last), Lines(249'999, 250'000));  // "half" was no line yet
  EXPECT_THAT(text, testing::EndsWith(ReadAll(*all)));
  auto rotated = Reader({.tail_lines = 2, .follow = false});
  Write(writer, Lines(1, 500'000));
  EXPECT_EQ(ReadAll(*rotated), "");  // gone meanwhile, and nothing later in its place
}

TEST_F(LogSegments, ALineIsGivenOutWhenItHasEnded) {
  LogWriter writer = *LogWriter::Open(directory_);
  auto reader = Reader();
  Write(writer, "one\nhalf");
  EXPECT_EQ(ReadAll(*reader), "one\n");
  Write(writer, " and half\n");
  EXPECT_EQ(ReadAll(*reader), "half and half\n");
}

TEST_F(LogSegments, CursorsHoldAcrossRotationAndReaders) {
  LogWriter writer = *LogWriter::Open(directory_);
  std::string text = Lines(1, 300'000);  // 3.6 MB: more than a segment
  Write(writer, text.substr(0, 1'000'000));
  auto first = Reader();
  std::string cursor;
  std::string read = ReadAll(*first, &cursor);
  Write(writer, text.substr(1'000'000));
  EXPECT_GT(ListSegments(directory_).size(), 1u);
  auto second = Reader({.cursor = cursor});
  read += ReadAll(*second);
  EXPECT_TRUE(read == text);
  // Another boot's cursor stands for nothing here: all there is.
  auto other = Reader({.cursor = cursor}, "other");
  EXPECT_TRUE(ReadAll(*other) == text);
}

TEST_F(LogSegments, OnlyTheLastSegmentsAreKeptAndTheLossIsTold) {
  LogWriter writer = *LogWriter::Open(directory_);
  Write(writer, "first\n");
  auto reader = Reader();
  std::string cursor;
  ReadAll(*reader, &cursor);
  std::string text = Lines(1, 900'000);  // 11 MB
  Write(writer, text);
  EXPECT_EQ(ListSegments(directory_).size(), LogWriter::kSegmentsKept);
  auto late = Reader({.cursor = cursor});
  uint64_t lost = 0;
  std::string rest = ReadAll(*late, nullptr, &lost);
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(lost + rest.size(), text.size());
  EXPECT_TRUE(rest == text.substr(lost));
}

TEST_F(LogSegments, TailGivesTheLastLines) {
  LogWriter writer = *LogWriter::Open(directory_);
  Write(writer, Lines(1, 250'000));
  EXPECT_EQ(ReadAll(*Reader({.tail_lines = 3})), Lines(249'998, 250'000));
  // More than the newest segment holds.
  EXPECT_EQ(ReadAll(*Reader({.tail_lines = 200'000})), Lines(50'001, 250'000));
  Write(writer, "unfinished");
  EXPECT_EQ(ReadAll(*Reader({.tail_lines = 1})), Lines(250'000, 250'000));
}

TEST_F(LogSegments, SinceAndMarksTellTimes) {
  LogWriter writer = *LogWriter::Open(directory_);
  Write(writer, Lines(1, 10));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  absl::Time between = absl::Now();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Write(writer, Lines(11, 20));
  EXPECT_EQ(ReadAll(*Reader({.since = between})), Lines(11, 20));
  EXPECT_EQ(ReadAll(*Reader({.since = absl::Now() + absl::Hours(1)})), "");
  absl::StatusOr<LogChunk> chunk = Reader()->Next();
  ASSERT_TRUE(chunk.ok());
  ASSERT_GE(chunk->marks.size(), 2u);
  EXPECT_LT(chunk->marks.front().time, between);
  EXPECT_EQ(chunk->marks.back().offset, Lines(1, 10).size());
  EXPECT_GT(chunk->marks.back().time, between);
}

// A segment of many short lines, each in its own millisecond.
TEST_F(LogSegments, AnIndexStaysReadableHoweverManyLinesThereAre) {
  for (size_t records : {56u * 1024, 64u * 1024 - 1, 64u * 1024}) {
    LogWriter before = *LogWriter::Open(directory_);
    Write(before, Lines(1, 10));
    std::vector<LogTime> times(records, LogTime{0, 1'000'000'000});
    std::string bytes(reinterpret_cast<const char*>(times.data()), times.size() * sizeof(LogTime));
    ASSERT_TRUE(ReplaceFile(IndexPath(directory_, 0), bytes).ok());
    absl::Time since = absl::Now();
    LogWriter writer = *LogWriter::Open(directory_);
    for (int line = 11; line <= 200; ++line) {
      Write(writer, Lines(line, line));
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    std::string index = *ReadFile(IndexPath(directory_, 0), 2 << 20);
    EXPECT_LE(index.size(), 1u << 20);
    // As many more as fit, but not one for each line.
    EXPECT_EQ(index.size() / sizeof(LogTime), std::min<size_t>(records + 1, 64 * 1024));
    if (records < 64 * 1024) {
      EXPECT_EQ(ReadAll(*Reader({.since = since})), Lines(11, 200));
    }
    EXPECT_EQ(ReadAll(*Reader({.tail_lines = 1})), Lines(200, 200));
    ::unlink(IndexPath(directory_, 0).c_str());
    ::unlink(SegmentPath(directory_, 0).c_str());
  }
}

TEST_F(LogSegments, ABadCursorIsRefused) {
  EXPECT_EQ(SegmentReader::Open(directory_, kBoot, {.cursor = "nonsense"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

// The promise of docs/decisions/log-splice.md: writers killed at any moment, every line once.
TEST_F(LogSegments, KilledWritersLoseAndDoubleNothing) {
  constexpr int kLines = 20'000;
  std::thread source([this] {
    for (int i = 1; i <= kLines; ++i) {
      std::string line = absl::StrCat("line ", i, "\n");
      EXPECT_TRUE(WriteAll(write_.get(), line).ok());
      if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    write_.reset();
  });
  std::mt19937 random(4711);
  int kills = 0;
  while (true) {
    pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(write_.get());  // ours only: the object is the parent's too
      absl::StatusOr<LogWriter> writer = LogWriter::Open(directory_);
      if (!writer.ok()) ::_exit(1);
      pollfd readable = {.fd = read_.get(), .events = POLLIN};
      while (true) {
        ::poll(&readable, 1, -1);
        absl::StatusOr<size_t> moved = writer->MoveFrom(read_.get(), 4096);
        if (!moved.ok()) ::_exit(2);
        if (*moved == 0 && (readable.revents & POLLHUP)) ::_exit(0);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    ::kill(child, SIGKILL);
    int status;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      break;
    }
    ++kills;
  }
  source.join();
  EXPECT_GT(kills, 5);
  std::string all = ReadAll(*Reader());
  EXPECT_TRUE(all == Lines(1, kLines)) << all.size() << " bytes after " << kills << " kills";
}

// Its own segment and the next ones are rotated away while it waits.
TEST_F(LogSegments, AReaderLeftFarBehindLearnsWhatItMissed) {
  absl::StatusOr<LogWriter> writer = LogWriter::Open(directory_);
  ASSERT_TRUE(writer.ok());
  Write(*writer, "first\n");
  std::unique_ptr<SegmentReader> reader = Reader();
  absl::StatusOr<LogChunk> chunk = reader->Next();
  ASSERT_TRUE(chunk.ok());
  EXPECT_EQ(chunk->data.view(), "first\n");
  std::string line(99, 'x');
  line += '\n';
  uint64_t written = 0, got = 0, lost = 0;
  for (; written < 10 * LogWriter::kSegmentSize; written += line.size()) Write(*writer, line);
  while (true) {
    chunk = reader->Next();
    ASSERT_TRUE(chunk.ok()) << chunk.status();
    lost += chunk->lost_bytes;
    got += chunk->data.size();
    if (chunk->data.size() == 0 && chunk->lost_bytes == 0) break;
  }
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(got + lost, written);
}

}  // namespace
}  // namespace stele::machined
