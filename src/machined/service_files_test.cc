#include "machined/service_files.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::machined {
namespace {

class ServiceFilesTest : public testing::Test {
 protected:
  ServiceFilesTest() {
    std::string path = "/tmp/service_files_test.XXXXXX";
    root_ = ::mkdtemp(path.data());
    set_.directories = {{.path = "/etc/kubernetes", .uid = ::getuid(), .gid = ::getgid()},
                        {.path = "/etc/kubernetes/manifests",
                         .mode = 0700,
                         .uid = ::getuid(),
                         .gid = ::getgid(),
                         .only_listed_files = true}};
    set_.files = {File("/etc/kubernetes/kubelet.yaml", "kind: x\n"), File("/etc/kubernetes/manifests/a.yaml", "a")};
  }
  ~ServiceFilesTest() override { std::filesystem::remove_all(root_); }
  services::ServiceFile File(const std::string& path, const std::string& content) {
    return {.path = path, .content = content, .mode = 0600, .uid = ::getuid(), .gid = ::getgid()};
  }
  std::string Read(const std::string& path) { return ReadFile(root_ + path).value_or("(none)"); }
  std::string root_;
  services::ServiceSet set_;
};

TEST_F(ServiceFilesTest, WritesWithModes) {
  ASSERT_TRUE(WriteServiceFiles(set_, root_).ok());
  EXPECT_EQ(Read("/etc/kubernetes/manifests/a.yaml"), "a");
  struct stat now;
  ASSERT_EQ(::stat((root_ + "/etc/kubernetes/manifests").c_str(), &now), 0);
  EXPECT_EQ(now.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat((root_ + "/etc/kubernetes/kubelet.yaml").c_str(), &now), 0);
  EXPECT_EQ(now.st_mode & 07777, 0600u);
}

TEST_F(ServiceFilesTest, WhatIsAsWantedIsNotTouched) {
  ASSERT_TRUE(WriteServiceFiles(set_, root_).ok());
  struct stat before, after;
  ASSERT_EQ(::stat((root_ + "/etc/kubernetes/kubelet.yaml").c_str(), &before), 0);
  ASSERT_TRUE(WriteServiceFiles(set_, root_).ok());
  ASSERT_EQ(::stat((root_ + "/etc/kubernetes/kubelet.yaml").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(ServiceFilesTest, RemovesWhatMustNotBeThere) {
  set_.files.push_back(File("/etc/kubernetes/manifests/b.yaml", "b"));
  set_.files.push_back(File("/etc/kubernetes/kubeconfig", "c"));
  ASSERT_TRUE(WriteServiceFiles(set_, root_).ok());
  set_.files.pop_back();
  set_.files.pop_back();
  set_.files.push_back({.path = "/etc/kubernetes/kubeconfig", .content = std::nullopt});
  ASSERT_TRUE(WriteServiceFiles(set_, root_).ok());
  EXPECT_EQ(Read("/etc/kubernetes/manifests/b.yaml"), "(none)");
  EXPECT_EQ(Read("/etc/kubernetes/kubeconfig"), "(none)");
  EXPECT_EQ(Read("/etc/kubernetes/manifests/a.yaml"), "a");
}

TEST_F(ServiceFilesTest, OneFailureDoesNotKeepTheOthers) {
  set_.files.insert(set_.files.begin(), File("/no/such/directory/file", "x"));
  EXPECT_FALSE(WriteServiceFiles(set_, root_).ok());
  EXPECT_EQ(Read("/etc/kubernetes/kubelet.yaml"), "kind: x\n");
}

}  // namespace
}  // namespace stele::machined
