#include "init/log_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"

namespace stele::init {
namespace {

class LogPipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(pipe_.Create(), 0);
    // Of our own, so that a test that fills it does not stop.
    writer_ = UniqueFd(::open(absl::StrCat("/proc/self/fd/", pipe_.write_end()).c_str(), O_WRONLY | O_NONBLOCK));
    ASSERT_TRUE(writer_.ok());
  }
  // Fills it with numbered lines; the bytes written.
  uint64_t Fill() {
    uint64_t bytes = 0;
    while (true) {
      std::string line = absl::StrCat(number_, "\n");
      ssize_t put = ::write(writer_.get(), line.data(), line.size());
      if (put < 0) return bytes;
      bytes += static_cast<uint64_t>(put);
      ++number_;
    }
  }
  void Turn() { ASSERT_TRUE(loop_.RunOnce(0).ok()); }

  EventLoop loop_ = *EventLoop::Create();
  LogPipe pipe_{loop_};
  UniqueFd writer_;
  int number_ = 0;
};

TEST_F(LogPipeTest, SleepsUntilTheFirstByteAndAgainWhenItIsRead) {
  EXPECT_EQ(pipe_.next_check(), kNever);
  Turn();
  EXPECT_EQ(pipe_.next_check(), kNever);
  ASSERT_EQ(::write(writer_.get(), "x", 1), 1);
  Turn();
  EXPECT_NE(pipe_.next_check(), kNever);
  char byte;
  ASSERT_EQ(::read(pipe_.read_end(), &byte, 1), 1);
  EXPECT_FALSE(pipe_.Check(Now() + kSecond, false));
  EXPECT_EQ(pipe_.next_check(), kNever);
  ASSERT_EQ(::write(writer_.get(), "x", 1), 1);
  Turn();
  EXPECT_NE(pipe_.next_check(), kNever) << "the second first byte is seen as well";
}

TEST_F(LogPipeTest, ThrowsTheOldestAwayWhenNobodyIsThere) {
  uint64_t written = Fill();
  Turn();
  uint64_t now = Now() + kSecond;
  EXPECT_TRUE(pipe_.Check(now, /*has_reader=*/false));
  EXPECT_GT(pipe_.dropped_bytes(), 0u);
  EXPECT_LT(pipe_.dropped_bytes(), written) << "the newest stay";
  EXPECT_GT(Fill(), 0u) << "there is room again";
  std::string all(1 << 20, 0);
  ssize_t got = ::read(pipe_.read_end(), all.data(), all.size());
  ASSERT_GT(got, 0);
  all.resize(static_cast<size_t>(got));
  std::string newest = absl::StrCat("\n", number_ - 1, "\n");
  ASSERT_GT(all.size(), newest.size());
  EXPECT_EQ(all.substr(all.size() - newest.size()), newest);
}

TEST_F(LogPipeTest, IsPatientWithAReaderThatMoves) {
  Fill();
  Turn();
  uint64_t now = Now();
  char bytes[8192];
  for (int check = 0; check < 20; ++check) {
    now += LogPipe::kCheckNs;
    EXPECT_FALSE(pipe_.Check(now, /*has_reader=*/true));
    ASSERT_GT(::read(pipe_.read_end(), bytes, sizeof bytes), 0);
    Fill();
  }
  EXPECT_EQ(pipe_.dropped_bytes(), 0u);
  // It stands still: for kPatience checks after the one that saw it.
  int checks = 0;
  while (!pipe_.Check(now += LogPipe::kCheckNs, /*has_reader=*/true)) ASSERT_LT(++checks, 10);
  EXPECT_EQ(checks, LogPipe::kPatience);
  EXPECT_LE((LogPipe::kPatience + 2) * LogPipe::kCheckNs, 100 * kMillisecond) << "no writer waits for longer";
}

}  // namespace
}  // namespace stele::init
