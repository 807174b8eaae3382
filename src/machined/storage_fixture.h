// A disk for tests: an image file, or a loop device on one.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/strip.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "gtest/gtest.h"
#include "machined/storage.h"

namespace stele::machined {

inline constexpr uint64_t kMiB = 1 << 20;

// The build machine's e2fsprogs.
inline StorageTools Tools() { return {"/usr/sbin/mke2fs", "/usr/sbin/e2fsck"}; }

inline std::string Sh(std::vector<std::string> argv) {
  auto result = RunSubprocess(argv, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, absl::Seconds(60));
  if (!result.ok()) return std::string(result.status().message());
  return result->exit_code == 0 ? result->output : absl::StrCat("exit ", result->exit_code, ": ", result->output);
}

class StorageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-storage-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    image_ = directory_ + "/disk";
  }
  void TearDown() override { Sh({"/bin/rm", "-r", directory_}); }

  void MakeImage(uint64_t size) {
    std::ofstream(image_).close();
    ASSERT_EQ(::truncate(image_.c_str(), size), 0);
  }
  void WriteAt(uint64_t offset, absl::string_view bytes) {
    UniqueFd fd(::open(image_.c_str(), O_WRONLY | O_CLOEXEC));
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), offset), static_cast<ssize_t>(bytes.size()));
  }
  // Changes with every write, whatever is written.
  std::string LastWrite() { return Sh({"/usr/bin/stat", "-c", "%y %z", image_}); }

  std::string directory_;
  std::string image_;
};

// A loop device stands for a disk; everything in a mount namespace of its own.
class LoopTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      GTEST_SKIP() << "needs root that may mount (CAP_SYS_ADMIN)";
    }
    MakeImage(300 * kMiB);
    loop_ = std::string(absl::StripTrailingAsciiWhitespace(Sh({"/usr/sbin/losetup", "-f", "-P", "--show", image_})));
    if (loop_.rfind("/dev/loop", 0) != 0) {
      loop_.clear();
      GTEST_SKIP() << "needs a loop device";
    }
    options_.root = directory_ + "/root";
    options_.tools = Tools();
    ASSERT_TRUE(MakeDirectories(options_.root + "/opt/cni/bin").ok());
    ASSERT_TRUE(ReplaceFile(options_.root + "/opt/cni/bin/bridge", "plugin", 0755).ok());
  }
  void TearDown() override {
    Unmount();
    if (!loop_.empty()) Sh({"/usr/sbin/losetup", "-d", loop_});
    StorageTest::TearDown();
  }
  void Unmount() {
    for (const char* path : {"/opt/cni/bin", "/etc/cni", "/var", "/run/stele/state"}) {
      ::umount2((options_.root + path).c_str(), MNT_DETACH);
    }
  }
  std::string loop_;
  StorageOptions options_;
};

}  // namespace stele::machined
