// Sums, compared with the build machine's du.
#include "machined/files/disk_usage.h"

#include <gmock/gmock.h>

#include "absl/strings/numbers.h"
#include "machined/files/file_fixture.h"

namespace stele::machined {
namespace {

using machine::v1::DirectoryUsage;
using testing::ElementsAre;
using testing::UnorderedElementsAre;

class DiskUsageTest : public FileTest {
 protected:
  std::vector<DirectoryUsage> Count(const std::string& path, UsageOptions options = {}, Need role = Need::kAdmin) {
    std::vector<DirectoryUsage> all;
    omissions_ = {};
    if (!options.keep_going) options.keep_going = [] { return absl::OkStatus(); };
    status_ = CountUsage(
        *Tree().Find(path, role), role, options,
        [&](DirectoryUsage usage) {
          all.push_back(std::move(usage));
          return absl::OkStatus();
        },
        omissions_);
    return all;
  }
  static std::vector<std::string> Paths(const std::vector<DirectoryUsage>& all) {
    std::vector<std::string> paths;
    for (const DirectoryUsage& usage : all) paths.push_back(usage.path());
    return paths;
  }
  absl::Status status_;
  Omissions omissions_;
};

TEST_F(DiskUsageTest, AgreesWithDu) {
  for (int i = 0; i < 50; ++i) {
    std::string directory = absl::StrCat("/data/", i % 7);
    ::mkdir(Real(directory).c_str(), 0755);
    Put(absl::StrCat(directory, "/", i), std::string(static_cast<size_t>(i) * 777, 'x'));
  }
  ASSERT_EQ(::link(Real("/data/0/7").c_str(), Real("/data/1/again").c_str()), 0);  // counts once
  ASSERT_EQ(::link(Real("/data/0/7").c_str(), Real("/data/2/again").c_str()), 0);
  Link("/data/link", "0");
  std::vector<DirectoryUsage> all = Count("/data");
  ASSERT_EQ(all.size(), 1u);
  uint64_t expected = 0;
  ASSERT_TRUE(
      absl::SimpleAtoi(Sh({"/bin/sh", "-c", "du -s --block-size=1 " + Real("/data") + " | cut -f1"}), &expected));
  EXPECT_EQ(all[0].disk_bytes(), expected);
  EXPECT_EQ(all[0].files(), 51u);  // and the link
  EXPECT_EQ(all[0].directories(), 8u);
  uint64_t sizes = 0;
  for (uint64_t i = 0; i < 50; ++i) sizes += i * 777;
  EXPECT_EQ(all[0].size_bytes(), sizes);
  EXPECT_TRUE(omissions_.empty());
}

TEST_F(DiskUsageTest, DepthSaysWhatIsTold) {
  for (const char* path : {"/data/a", "/data/a/b", "/data/a/b/c"}) ASSERT_EQ(::mkdir(Real(path).c_str(), 0755), 0);
  Put("/data/a/b/c/file", std::string(5000, 'x'));
  EXPECT_THAT(Paths(Count("/data")), ElementsAre("/data"));
  EXPECT_THAT(Paths(Count("/data", {.depth = 1})), ElementsAre("/data/a", "/data"));
  std::vector<DirectoryUsage> all = Count("/data", {.depth = 2});
  EXPECT_THAT(Paths(all), ElementsAre("/data/a/b", "/data/a", "/data"));
  EXPECT_EQ(all[0].size_bytes(), 5000u);
  EXPECT_EQ(all[2].size_bytes(), 5000u);
  EXPECT_THAT(Paths(Count("/data/a/b/c/file")), ElementsAre("/data/a/b/c/file"));
}

TEST_F(DiskUsageTest, WhatMayNotBeListedIsCountedAndNotNamed) {
  ASSERT_EQ(::mkdir(Real("/open/secret/inner").c_str(), 0755), 0);
  Put("/open/secret/inner/file", std::string(100'000, 'x'));
  ASSERT_EQ(::mkdir(Real("/open/closed").c_str(), 0711), 0);
  ASSERT_EQ(::mkdir(Real("/open/closed/inner").c_str(), 0755), 0);
  UsageOptions deep = {.depth = 9};
  std::vector<DirectoryUsage> reader = Count("/open", deep, Need::kReader);
  EXPECT_THAT(Paths(reader), UnorderedElementsAre("/open/dir", "/open/secret", "/open/closed", "/open"));
  EXPECT_GE(reader.back().size_bytes(), 100'000u);
  EXPECT_THAT(Paths(Count("/open", deep, Need::kAdmin)),
              UnorderedElementsAre("/open/dir", "/open/secret", "/open/closed/inner", "/open/closed", "/open"));
}

TEST_F(DiskUsageTest, Bounds) {
  for (int i = 0; i < 20; ++i) ASSERT_EQ(::mkdir(Real(absl::StrCat("/data/", i)).c_str(), 0755), 0);
  EXPECT_EQ(Count("/data", {.depth = 1, .told = 5}).size(), 6u);  // and the sum
  EXPECT_FALSE(omissions_.empty());
  std::vector<DirectoryUsage> cut = Count("/data", {.entries = 5});
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_EQ(cut[0].directories(), 6u);
  EXPECT_FALSE(omissions_.empty());
  int asked = 0;
  Count("/data", {.keep_going = [&] { return ++asked < 3 ? absl::OkStatus() : absl::CancelledError("enough"); }});
  EXPECT_EQ(status_.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace stele::machined
