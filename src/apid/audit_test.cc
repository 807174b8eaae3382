#include "apid/audit.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"

namespace stele {
namespace {

class AuditTest : public testing::Test {
 protected:
  AuditTest() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end_.reset(ends[0]);
    write_end_.reset(ends[1]);
    ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  std::string ReadAll() {
    std::string text;
    char buffer[65536];
    for (ssize_t got; (got = ::read(read_end_.get(), buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<size_t>(got));
    }
    return text;
  }
  static Audit::Call Call(absl::string_view subject) {
    return {subject, "admin", "1a2b", "192.0.2.1:1", "/a/b", "allow", "OK", 3};
  }

  UniqueFd read_end_, write_end_;
};

TEST_F(AuditTest, OneCallIsOneLine) {
  Audit audit(write_end_.get());
  audit.WriteCall(Call("so\"me\none\\"));
  std::string text = ReadAll();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_TRUE(absl::StrContains(
      text,
      " subject=\"so?me?one?\" role=admin serial=1a2b peer=192.0.2.1:1 method=\"/a/b\" decision=allow "
      "result=OK took_ms=3\n"))
      << text;
}

TEST_F(AuditTest, AReaderThatSleepsStopsNothingAndIsToldWhatItMissed) {
  Audit audit(write_end_.get());
  auto began = std::chrono::steady_clock::now();
  constexpr int kCalls = 20'000;
  for (int i = 0; i < kCalls; ++i) audit.WriteCall(Call("someone"));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  std::string text;
  for (int i = 0; i < 10; ++i) {
    text += ReadAll();
    audit.Flush();
  }
  text += ReadAll();
  // Whole lines only, and those that came plus those that are counted are all.
  int lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')), lost = 0;
  size_t at = text.find("lost_lines=");
  ASSERT_NE(at, std::string::npos);
  lost = std::atoi(text.c_str() + at + 11);
  EXPECT_EQ(lines - 1 + lost, kCalls);
  EXPECT_LT(text.size(), 256u * 1024);
}

TEST_F(AuditTest, StrangersGetTenLinesASecond) {
  Audit audit(write_end_.get());
  for (int i = 0; i < 1000; ++i) audit.WriteRefusal("192.0.2.1:1", "no certificate", 5'000 + i % 1000);
  audit.WriteRefusal("192.0.2.1:1", "no certificate", 6'000);
  std::string text = ReadAll();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10 + 1 + 1);
  EXPECT_TRUE(absl::StrContains(text, "refused_and_not_shown=990")) << text;
}

TEST_F(AuditTest, NobodyToReadIsNoReasonToEnd) {
  ::signal(SIGPIPE, SIG_IGN);
  Audit audit(write_end_.get());
  read_end_.reset();
  for (int i = 0; i < 1000; ++i) audit.WriteCall(Call("someone"));
  EXPECT_FALSE(audit.has_pending());
}

}  // namespace
}  // namespace stele
