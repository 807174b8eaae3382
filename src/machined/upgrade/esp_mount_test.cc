#include "machined/upgrade/esp_mount.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "machined/install/installer_fixture.h"
#include "machined/install/loop_mount.h"

namespace stele::machined {
namespace {

// The kernel of a build machine may have no vfat: an ext4 stands for the ESP, mounted as a machined before left it.
class EspMountTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    if (!MayMountImages()) GTEST_SKIP() << "needs root that may mount, and loop devices";
    MakeImage(16 * kMiB);
    Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_});
  }
  bool ReadOnly() {
    struct statvfs info;
    return ::statvfs(target_.c_str(), &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
  }
  std::string target_;
};

TEST_F(EspMountTest, OneThatAKilledMachinedLeftWritableIsMadeReadOnly) {
  target_ = directory_ + "/esp";
  absl::StatusOr<LoopMount> left = LoopMount::Create({image_, 0, 16 * kMiB, 512}, "ext4", target_, false);
  ASSERT_TRUE(left.ok()) << left.status();
  ASSERT_TRUE(ReplaceFile(target_ + "/half", "written").ok());
  ASSERT_FALSE(ReadOnly());
  struct stat info;
  ASSERT_EQ(::stat(target_.c_str(), &info), 0);
  EspMount esp(absl::StrCat("/dev/loop", minor(info.st_dev)), target_);
  absl::Status mounted = esp.MountReadOnly();
  ASSERT_TRUE(mounted.ok()) << mounted;
  EXPECT_TRUE(ReadOnly());
  EXPECT_EQ(*ReadFile(target_ + "/half", 64), "written");
  // And a window as ever.
  absl::StatusOr<EspWindow> window = esp.OpenWindow();
  ASSERT_TRUE(window.ok()) << window.status();
  EXPECT_FALSE(ReadOnly());
  ASSERT_TRUE(window->Close().ok());
  EXPECT_TRUE(ReadOnly());
  ASSERT_TRUE(esp.MountReadOnly().ok());
}

}  // namespace
}  // namespace stele::machined
