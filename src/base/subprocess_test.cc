#include "base/subprocess.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace stele {
namespace {

const std::vector<std::string> kEnv = {"PATH=/usr/bin:/bin", "WORD=hello"};

TEST(Subprocess, TellsExitSignalAndOutput) {
  auto result = RunSubprocess({"/bin/sh", "-c", "echo $WORD; echo err >&2; cat; exit 7"}, kEnv, absl::Seconds(10));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 7);
  EXPECT_EQ(result->output, "hello\nerr\n");
  result = RunSubprocess({"/bin/sh", "-c", "kill -9 $$"}, kEnv, absl::Seconds(10));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->signal, 9);
}

TEST(Subprocess, EndsAtTheDeadlineWithItsChildren) {
  absl::Time start = absl::Now();
  auto result = RunSubprocess({"/bin/sh", "-c", "sleep 60 & sleep 60"}, kEnv, absl::Milliseconds(200));
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(Subprocess, DoesNotWaitForWhatKeepsItsOutputOpen) {
  absl::Time start = absl::Now();
  auto result = RunSubprocess({"/bin/sh", "-c", "sleep 3 & echo done"}, kEnv, absl::Seconds(20));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output, "done\n");
  EXPECT_LT(absl::Now() - start, absl::Seconds(2));
}

TEST(Subprocess, BoundsOutput) {
  auto result = RunSubprocess({"/bin/sh", "-c", "head -c 1000000 /dev/zero"}, kEnv, absl::Seconds(10));
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output.size(), 65536u);
}

TEST(Subprocess, SaysWhatFailed) {
  EXPECT_EQ(RunChecked({"/no/such/program"}, {}, absl::Seconds(1)).message(),
            "run /no/such/program: No such file or directory");
  EXPECT_EQ(RunChecked({"/bin/sh", "-c", "echo why; exit 3"}, kEnv, absl::Seconds(5)).message(),
            "/bin/sh: exit 3: why");
  EXPECT_TRUE(RunChecked({"/bin/true"}, {}, absl::Seconds(5)).ok());
}

}  // namespace
}  // namespace stele
