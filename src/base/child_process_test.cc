#include "base/child_process.h"

#include <signal.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace stele {
namespace {

const std::vector<std::string> kEnv = {"PATH=/usr/bin:/bin"};

ChildProcess Shell(const std::string& script, absl::string_view input = "") {
  absl::StatusOr<ChildProcess> child = ChildProcess::Start({"/bin/sh", "-c", script}, kEnv, input);
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

std::string ReadAll(ChildProcess& child) {
  std::string all;
  while (true) {
    absl::StatusOr<std::string> bytes = child.Read(absl::Seconds(10));
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    if (!bytes.ok() || bytes->empty()) return all;
    all += *bytes;
  }
}

TEST(ChildProcess, InputOutputErrorsAndEnd) {
  ChildProcess child = Shell("read WORD; echo got $WORD; echo bad >&2; exit 3", "hello\n");
  EXPECT_EQ(ReadAll(child), "got hello\n");
  ChildProcess::End end = child.Wait(absl::Seconds(10));
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.errors, "bad\n");
}

TEST(ChildProcess, ManyErrorsHoldNobodyAndTheLastAreKept) {
  ChildProcess child = Shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; echo last >&2; echo out");
  EXPECT_EQ(ReadAll(child), "out\n");
  ChildProcess::End end = child.Wait(absl::Seconds(10));
  EXPECT_EQ(end.errors.size(), 4096u);
  EXPECT_EQ(end.errors.substr(4090), "xlast\n");
}

TEST(ChildProcess, SilenceIsTold) {
  ChildProcess child = Shell("sleep 60");
  EXPECT_EQ(child.Read(absl::Milliseconds(100)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(child.Wait(absl::Milliseconds(100)).signal, SIGKILL);
}

// Gone, or not reaped yet by whoever inherited it.
bool Ended(const std::string& pid) {
  std::string stat = ReadFile("/proc/" + pid + "/stat").value_or("");
  return stat.empty() || stat.find(") Z ") != std::string::npos;
}

TEST(ChildProcess, ItsEndTakesTheGroupAlong) {
  absl::Time began = absl::Now();
  {
    ChildProcess child = Shell("sleep 60 & echo $!; wait");
    absl::StatusOr<std::string> pid = child.Read(absl::Seconds(10));
    ASSERT_TRUE(pid.ok());
    ChildProcess moved = std::move(child);
    child = Shell("true");
    moved = std::move(child);  // kills the first
    std::string sleeper = pid->substr(0, pid->find('\n'));
    for (int i = 0; i < 100 && !Ended(sleeper); ++i) absl::SleepFor(absl::Milliseconds(20));
    EXPECT_TRUE(Ended(sleeper));
  }
  EXPECT_LT(absl::Now() - began, absl::Seconds(20));
}

TEST(ChildProcess, WhatCannotRunIsTold) {
  EXPECT_EQ(ChildProcess::Start({"/nonexistent"}, kEnv, "").status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace stele
