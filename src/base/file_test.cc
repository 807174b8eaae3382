#include "base/file.h"

#include <sys/inotify.h>
#include <sys/stat.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace stele {
namespace {

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-file-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + directory_).c_str()), 0); }
  std::string directory_;
};

TEST_F(FileTest, ReplacesAndReadsBack) {
  std::string path = directory_ + "/a/b/c";
  ASSERT_TRUE(MakeDirectories(directory_ + "/a/b").ok());
  ASSERT_TRUE(MakeDirectories(directory_ + "/a/b").ok());
  ASSERT_TRUE(ReplaceFile(path, "one", 0600).ok());
  ASSERT_TRUE(ReplaceFile(path, "two", 0640).ok());
  EXPECT_EQ(*ReadFile(path), "two");
  struct stat info;
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

// A kubelet that watches the directory must not take the half-written file for a pod.
TEST_F(FileTest, WhatIsBeingWrittenIsHidden) {
  UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  ASSERT_GE(::inotify_add_watch(watch.get(), directory_.c_str(), IN_CREATE | IN_MODIFY), 0);
  ASSERT_TRUE(ReplaceFile(directory_ + "/pod.yaml", "text").ok());
  alignas(inotify_event) char buffer[4096];
  ssize_t size = ::read(watch.get(), buffer, sizeof buffer);
  ASSERT_GT(size, 0);
  for (ssize_t at = 0; at < size;) {
    auto* event = reinterpret_cast<inotify_event*>(buffer + at);
    EXPECT_EQ(event->name[0], '.') << event->name;
    at += static_cast<ssize_t>(sizeof *event + event->len);
  }
}

TEST_F(FileTest, BoundsWhatItReads) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/big", std::string(5000, 'x')).ok());
  EXPECT_EQ(ReadFile(directory_ + "/big", 4999).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadFile(directory_ + "/big", 5000)->size(), 5000u);
  EXPECT_EQ(ReadFile(directory_ + "/none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(FileTest, MakeDirectoriesSaysWhatIsInTheWay) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/file", "").ok());
  EXPECT_FALSE(MakeDirectories(directory_ + "/file/below").ok());
}

}  // namespace
}  // namespace stele
