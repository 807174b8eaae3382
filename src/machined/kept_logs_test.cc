#include "machined/kept_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <utime.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/file.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class KeptLogs : public testing::Test {
 protected:
  KeptLogs() {
    std::string path = "/tmp/kept_logs_test.XXXXXX";
    folder_ = ::mkdtemp(path.data());
    paths_ = {folder_ + "/pods", folder_ + "/kept"};
  }
  ~KeptLogs() override { std::filesystem::remove_all(folder_); }

  std::string Pods(const std::string& path) { return paths_.pods + "/" + path; }
  void Write(const std::string& path, const std::string& text, int age_seconds = 0) {
    std::filesystem::create_directories(std::filesystem::path(Pods(path)).parent_path());
    std::ofstream(Pods(path), std::ios::app) << text;
    utimbuf times = {kNow - age_seconds, kNow - age_seconds};
    ::utime(Pods(path).c_str(), &times);
  }
  void Keep(const KeptLogBounds& bounds = {}) {
    absl::Status status = KeepLogs(paths_, bounds, absl::FromUnixSeconds(kNow));
    EXPECT_TRUE(status.ok()) << status;
  }
  std::vector<std::string> Kept() {
    std::vector<std::string> all;
    for (const KeptLogFile& file : ListKeptLogs(paths_)) {
      all.push_back(
          absl::StrCat(file.name_space, "/", file.pod, "/", file.container, "/", file.run, file.gone ? " gone" : ""));
    }
    return all;
  }
  std::string Text(const std::string& wanted) {
    absl::StatusOr<KeptLogFile> file = FindKeptLog(paths_, wanted);
    return file.ok() ? *ReadFile(file->path) : file.status().ToString();
  }

  static constexpr time_t kNow = 1'700'000'000;
  std::string folder_;
  KeptLogPaths paths_;
};

TEST_F(KeptLogs, OutliveTheirPods) {
  Write("default_hello_11111111-1/main/0.log", "one\n");
  Write("default_hello_11111111-1/main/0.log.20240501-100000.gz", "old");
  Write("kube-system_dns_2/dns/3.log", "dns\n");
  Keep();
  EXPECT_THAT(Kept(), ElementsAre("default/hello/main/0", "kube-system/dns/dns/3"));
  Write("default_hello_11111111-1/main/0.log", "two\n");  // the same file: nothing is copied
  std::filesystem::remove_all(Pods("default_hello_11111111-1"));
  Keep();
  EXPECT_THAT(Kept(), ElementsAre("default/hello/main/0 gone", "kube-system/dns/dns/3"));
  EXPECT_EQ(Text("default/hello"), "one\ntwo\n");
  EXPECT_EQ(Text("default/hello/main"), "one\ntwo\n");
  EXPECT_THAT(Text("default/other"), HasSubstr("no log is kept of one"));
}

TEST_F(KeptLogs, TheNewestRunAndPodOfAName) {
  Write("default_hello_1/main/0.log", "first\n", 300);
  Write("default_hello_1/main/1.log", "second\n", 200);
  Write("default_hello_2/main/0.log", "third\n", 100);
  Keep();
  EXPECT_EQ(Text("default/hello"), "third\n");
  Write("default_hello_2/side/0.log", "side\n");
  Keep();
  EXPECT_THAT(Text("default/hello"), HasSubstr("ambiguous"));
  EXPECT_EQ(Text("default/hello/main"), "third\n");
}

TEST_F(KeptLogs, ARotatedLogIsNotHeldBack) {
  Write("default_hello_1/main/0.log", "old\n");
  Keep();
  ASSERT_EQ(::rename(Pods("default_hello_1/main/0.log").c_str(), Pods("default_hello_1/main/0.log.1").c_str()), 0);
  Write("default_hello_1/main/0.log", "new\n");
  Keep();
  EXPECT_EQ(Text("default/hello"), "new\n");
  struct stat old;
  ASSERT_EQ(::stat(Pods("default_hello_1/main/0.log.1").c_str(), &old), 0);
  EXPECT_EQ(old.st_nlink, 1u);
}

TEST_F(KeptLogs, AreBounded) {
  for (int i = 0; i < 10; ++i) Write(absl::StrCat("a_p", i, "_1/c/0.log"), std::string(1000, 'x'), 10 - i);
  Write("a_old_1/c/0.log", "x", 100'000);
  Keep();
  EXPECT_EQ(Kept().size(), 11u);  // what the kubelet has is its own matter
  std::filesystem::remove_all(paths_.pods);
  Keep();
  EXPECT_EQ(Kept().size(), 10u);  // one was older than a day
  Keep({.bytes = 4500});
  EXPECT_THAT(Kept(), ElementsAre("a/p6/c/0 gone", "a/p7/c/0 gone", "a/p8/c/0 gone", "a/p9/c/0 gone"));
  Keep({.files = 2});
  EXPECT_THAT(Kept(), ElementsAre("a/p8/c/0 gone", "a/p9/c/0 gone"));
  Keep({.bytes = 0});
  EXPECT_THAT(Kept(), ElementsAre());
  EXPECT_TRUE(std::filesystem::is_empty(paths_.kept));
}

TEST_F(KeptLogs, FollowNoLinksOfAPod) {
  std::ofstream(folder_ + "/secret") << "secret\n";
  std::filesystem::create_directories(Pods("a_p_1/c"));
  std::filesystem::create_directories(folder_ + "/other/c");
  std::ofstream(folder_ + "/other/c/0.log") << "secret\n";
  std::filesystem::create_symlink(folder_ + "/secret", Pods("a_p_1/c/0.log"));
  std::filesystem::create_symlink(folder_ + "/other", Pods("a_q_1"));
  std::filesystem::create_symlink(folder_ + "/other/c", Pods("a_p_1/d"));
  ASSERT_EQ(::mkfifo(Pods("a_p_1/c/1.log").c_str(), 0600), 0);
  Keep();
  EXPECT_THAT(Kept(), ElementsAre());
}

}  // namespace
}  // namespace stele::machined
