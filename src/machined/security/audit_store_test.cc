#include "machined/security/audit_store.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "machined/merged_log.h"

namespace stele::machined {
namespace {

class AuditStoreTest : public testing::Test {
 protected:
  AuditStoreTest() {
    char name[] = "/tmp/stele-audit-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~AuditStoreTest() override { std::filesystem::remove_all(folder_); }

  static AuditRecord Call(int i) {
    std::string time = absl::StrFormat("2026-01-01T%02d:%02d:%02d.000Z", i / 3600 % 24, i / 60 % 60, i % 60);
    return {absl::StrCat("time=", time, " subject=\"alice\" n=", i), absl::StrFormat("b:%x", i)};
  }
  static AuditRecord Refusal(int i) {
    AuditRecord record = Call(i);
    record.text = absl::StrCat("time=2026-01-01T00:00:00.000Z peer=10.0.0.1:1 n=", i);
    record.refusal = true;
    return record;
  }
  std::vector<std::string> All(const LogStart& from, std::string* cursor = nullptr) {
    std::vector<std::string> lines;
    auto source = store_.Read(from);
    EXPECT_TRUE(source.ok()) << source.status();
    for (;;) {
      auto chunk = (*source)->Next();
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      if (!chunk.ok() || chunk->data.size() == 0) break;
      for (absl::string_view line : absl::StrSplit(chunk->data.view(), '\n', absl::SkipEmpty())) {
        lines.emplace_back(line.substr(line.find("n=")));
      }
      if (cursor != nullptr) *cursor = chunk->cursor;
    }
    return lines;
  }

  std::string folder_;
  AuditStore store_;
};

TEST_F(AuditStoreTest, KeepsTenThousandCallsOverBootsAndIsBounded) {
  int made = 0;
  for (int boot = 0; boot < 30; ++boot) {
    ASSERT_TRUE(store_.Open(folder_, "state").ok());
    std::vector<AuditRecord> records;
    for (int i = 0; i < 1003; ++i) records.push_back(Call(++made));
    ASSERT_TRUE(store_.Append(records).ok());
    EXPECT_EQ(store_.place(), absl::StrFormat("b:%x", made));
    size_t expected = std::min(made, 10'000);
    std::vector<std::string> kept = All({.follow = false});
    ASSERT_GE(kept.size(), expected);
    ASSERT_LE(kept.size(), 12'500u);
    // The newest ones, in order, none missing and none twice.
    for (size_t i = 0; i < kept.size(); ++i) ASSERT_EQ(kept[i], absl::StrCat("n=", made - kept.size() + 1 + i));
  }
  EXPECT_LE(std::distance(std::filesystem::directory_iterator(folder_), {}), 7);
}

TEST_F(AuditStoreTest, StrangersDoNotPushTheCallsOut) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  ASSERT_TRUE(store_.Append({Call(1), Refusal(2), Call(3)}).ok());
  for (int i = 0; i < 40; ++i) {
    std::vector<AuditRecord> flood;
    for (int j = 0; j < 1000; ++j) flood.push_back(Refusal(4 + 1000 * i + j));
    ASSERT_TRUE(store_.Append(flood).ok());
  }
  ASSERT_TRUE(store_.Append({Call(50'000)}).ok());
  std::vector<std::string> kept = All({.follow = false});
  EXPECT_GE(kept.size(), 2'503u);
  EXPECT_LE(kept.size(), 5'003u);
  EXPECT_EQ(kept[0], "n=1");
  EXPECT_EQ(kept[1], "n=3");
  EXPECT_EQ(kept.back(), "n=50000");
}

TEST_F(AuditStoreTest, WhatIsTornAtTheEndIsTakenAwayAndTheRestGoesOn) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  ASSERT_TRUE(store_.Append({Call(1), Refusal(2), Call(3)}).ok());
  std::string path = folder_ + "/calls-0000000000000001";
  auto size = std::filesystem::file_size(path);
  for (uintmax_t cut = size; cut > 0; --cut) {
    ASSERT_TRUE(store_.Open(folder_, "state").ok());
    std::filesystem::resize_file(path, cut);
    ASSERT_TRUE(store_.Open(folder_, "state").ok()) << cut;
    std::vector<std::string> kept = All({.follow = false});
    EXPECT_TRUE(std::find(kept.begin(), kept.end(), "n=2") != kept.end()) << "the other file is whole";
    ASSERT_TRUE(store_.Append({Call(9)}).ok());
    EXPECT_EQ(All({.follow = false}).back(), "n=9");
    std::filesystem::resize_file(path, std::filesystem::file_size(path));
    std::filesystem::resize_file(path, cut - 1);
  }
  std::ofstream(path, std::ios::app) << std::string(5000, '\0');
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  ASSERT_TRUE(store_.Append({Call(10)}).ok());
  EXPECT_EQ(All({.follow = false}).back(), "n=10");
}

TEST_F(AuditStoreTest, AKillBetweenAFileAndItsFirstRecordBringsNoRecordTwice) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  std::vector<AuditRecord> records = {Refusal(1)};
  for (int i = 2; i <= 2501; ++i) records.push_back(Call(i));
  ASSERT_TRUE(store_.Append(records).ok());
  ASSERT_TRUE(store_.Append({Call(2502)}).ok());
  std::string begun = absl::StrFormat("%s/calls-%016x", folder_, 2502);
  ASSERT_TRUE(std::filesystem::exists(begun));
  std::filesystem::resize_file(begun, 0);
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  EXPECT_EQ(store_.place(), absl::StrFormat("b:%x", 2501));
  ASSERT_TRUE(store_.Append({Call(2502)}).ok());
  EXPECT_EQ(All({.follow = false}).size(), 2502u);
}

TEST_F(AuditStoreTest, AReaderOfWhatIsTornIsToldAndGoesOnByItsCursor) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  ASSERT_TRUE(store_.Append({Call(1), Call(2)}).ok());
  auto reader = store_.Read({});
  ASSERT_TRUE(reader.ok());
  std::string cursor = (*reader)->Next()->cursor;
  std::ofstream(folder_ + "/calls-0000000000000001", std::ios::app) << "0000000000000003 b:3 time=2026-01-01T00";
  EXPECT_EQ((*reader)->Next()->data.size(), 0u) << "it holds the torn line now";
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  ASSERT_TRUE(store_.Append({Call(3)}).ok());
  EXPECT_EQ((*reader)->Next().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(All({.cursor = cursor, .follow = false}), std::vector<std::string>{"n=3"});
}

TEST_F(AuditStoreTest, WhoReadsWhileItIsWrittenMissesNothing) {
  static constexpr int kRecords = 12'000;
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  std::thread writer([this] {
    for (int i = 1; i <= kRecords;) {
      std::vector<AuditRecord> some;
      for (int end = i + i % 97; i <= std::min(end, kRecords); ++i) some.push_back(i % 5 == 0 ? Refusal(i) : Call(i));
      ASSERT_TRUE(store_.Append(some).ok());
    }
  });
  auto reader = store_.Read({});
  int seen = 0;
  absl::Time patience = absl::Now() + absl::Minutes(2);
  while (seen < kRecords && absl::Now() < patience) {
    auto chunk = (*reader)->Next();
    if (!chunk.ok()) break;
    for (absl::string_view line : absl::StrSplit(chunk->data.view(), '\n', absl::SkipEmpty())) {
      ++seen;
      if (line.substr(line.find("n=")) != absl::StrCat("n=", seen)) ADD_FAILURE() << line << " is not record " << seen;
    }
    if (testing::Test::HasFailure()) break;
  }
  writer.join();
  EXPECT_EQ(seen, kRecords);
}

TEST_F(AuditStoreTest, TailSinceAndCursor) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  std::vector<AuditRecord> records;
  for (int i = 1; i <= 6000; ++i) records.push_back(i % 7 == 0 ? Refusal(i) : Call(i));
  ASSERT_TRUE(store_.Append(records).ok());
  EXPECT_EQ(All({.tail_lines = 3, .follow = false}), (std::vector<std::string>{"n=5998", "n=5999", "n=6000"}));
  absl::Time since;
  ASSERT_TRUE(absl::ParseTime(absl::RFC3339_full, "2026-01-01T01:00:00Z", &since, nullptr));
  EXPECT_EQ(All({.since = since, .follow = false}).front(), "n=3600");
  std::string cursor;
  EXPECT_EQ(All({.follow = false}, &cursor).size(), 6000u);
  EXPECT_TRUE(All({.cursor = cursor, .follow = false}).empty());
  ASSERT_TRUE(store_.Open(folder_, "state").ok());  // another boot
  ASSERT_TRUE(store_.Append({Call(6001)}).ok());
  EXPECT_EQ(All({.cursor = cursor, .follow = false}), std::vector<std::string>{"n=6001"});
  EXPECT_EQ(All({.cursor = "otherboot:7", .follow = false}).size(), 6001u) << "all of this folder is new to it";
  EXPECT_EQ(store_.Read({.cursor = "junk"}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AuditStoreTest, ItsPlaceAndTimesAreWhatAMergeNeeds) {
  ASSERT_TRUE(store_.Open(folder_, "state").ok());
  std::vector<AuditRecord> records;
  for (int i = 1; i <= 100; ++i) records.push_back(Call(i / 2));
  ASSERT_TRUE(store_.Append(records).ok());
  auto tail = store_.Read({.tail_lines = 4, .follow = false});
  ASSERT_TRUE(tail.ok());
  std::string place = (*tail)->Place().cursor;
  EXPECT_EQ(place, "state:60") << "before the first read, too";
  auto chunk = (*tail)->Next();
  ASSERT_TRUE(chunk.ok());
  EXPECT_EQ(chunk->cursor, (*tail)->Place().cursor);
  ASSERT_EQ(chunk->marks.size(), 3u) << "one for each time";
  EXPECT_EQ(chunk->marks[0].offset, 0u);
  EXPECT_EQ(chunk->marks[2].time - chunk->marks[0].time, absl::Seconds(2));
  EXPECT_EQ(All({.cursor = place, .follow = false}).size(), 4u);
  // Together with itself: in the order of time, each line once, from a cursor too.
  auto open = [&](size_t, const std::string& cursor) {
    return store_.Read({.cursor = cursor, .tail_lines = 2, .follow = false});
  };
  auto merged = MergeLogs(2, "", open);
  ASSERT_TRUE(merged.ok());
  std::string begin = (*merged)->Place().cursor;
  auto all = (*merged)->Next();
  ASSERT_TRUE(all.ok()) << all.status();
  std::string text(all->data.view());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_LT(text.rfind("n=49"), text.find("n=50"));
  auto again = MergeLogs(2, begin, open);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ((*again)->Next()->data.view(), text);
  auto rest = MergeLogs(2, all->cursor, open);
  ASSERT_TRUE(rest.ok()) << rest.status();
  EXPECT_EQ((*rest)->Next()->data.size(), 0u);
}

TEST_F(AuditStoreTest, AReaderThatFollowsSeesWhatComesAndIsToldOfAnotherFolder) {
  auto too_early = store_.Read({.follow = false});
  EXPECT_EQ((*too_early)->Next().status().code(), absl::StatusCode::kUnavailable) << "no answer is no empty audit";
  auto early = store_.Read({});
  ASSERT_TRUE(early.ok());
  EXPECT_EQ((*early)->Next()->data.size(), 0u) << "nothing yet, and no error";
  ASSERT_TRUE(store_.Open(folder_ + "/memory", "boot").ok());
  ASSERT_TRUE(store_.Append({Call(1)}).ok());
  EXPECT_TRUE(absl::StrContains((*early)->Next()->data.view(), "n=1\n"));
  std::vector<AuditRecord> more;
  for (int i = 2; i < 6000; ++i) more.push_back(Call(i));
  ASSERT_TRUE(store_.Append(more).ok());
  size_t lines = 0;
  for (auto chunk = (*early)->Next(); chunk.ok() && chunk->data.size() > 0; chunk = (*early)->Next()) {
    lines += std::count(chunk->data.view().begin(), chunk->data.view().end(), '\n');
  }
  EXPECT_EQ(lines, 5998u);
  ASSERT_TRUE(store_.Open(folder_ + "/state", "state").ok());
  EXPECT_EQ((*early)->Next().status().code(), absl::StatusCode::kUnavailable);
}

TEST(AuditLineTest, ApidsOwnNotesAreNoRecords) {
  AuditRecord record;
  EXPECT_FALSE(ParseAuditLine("apid: serving", &record));
  EXPECT_FALSE(ParseAuditLine("audit", &record));
  ASSERT_TRUE(ParseAuditLine("audit time=T subject=\"x peer=y\" role=admin", &record));
  EXPECT_FALSE(record.refusal);
  EXPECT_EQ(record.text, "time=T subject=\"x peer=y\" role=admin");
  ASSERT_TRUE(ParseAuditLine("audit time=T peer=1.2.3.4:5 decision=refuse reason=\"r\"", &record));
  EXPECT_TRUE(record.refusal);
  ASSERT_TRUE(ParseAuditLine("audit time=T refused_and_not_shown=7", &record));
  EXPECT_TRUE(record.refusal);
}

}  // namespace
}  // namespace stele::machined
