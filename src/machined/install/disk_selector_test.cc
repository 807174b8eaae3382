#include "machined/install/disk_selector.h"

#include <unistd.h>

#include "gmock/gmock.h"
#include "machined/storage_fixture.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

using ::testing::HasSubstr;

class DiskSelectorTest : public StorageTest {
 protected:
  void Disk(const std::string& name, uint64_t gib, const std::map<std::string, std::string>& files) {
    std::string folder = absl::StrCat(directory_, "/", name);
    ASSERT_TRUE(MakeDirectories(folder + "/device").ok());
    ASSERT_TRUE(ReplaceFile(folder + "/size", absl::StrCat(gib << 21, "\n")).ok());
    for (const auto& [file, text] : files) ASSERT_TRUE(ReplaceFile(absl::StrCat(folder, "/", file), text).ok());
  }
  void SetUp() override {
    StorageTest::SetUp();
    Disk("nvme0n1", 500, {{"device/serial", "S1\n"}, {"device/model", "Fast SSD 980  \n"}, {"wwid", "eui.0025\n"}});
    Disk("sda", 64,
         {{"device/vpd_pg80", std::string("\0\x80\0\4S22 ", 8)}, {"device/model", "Old Disk\n"}, {"ro", "1\n"}});
    Disk("sdb", 64, {{"device/model", "Old\x1b[1m Disk\n"}, {"device/wwid", "naa.5\n"}});
    Disk("sdc", 0, {});
    Disk("loop0", 1, {});
    Disk("nvme0c0n1", 500, {{"hidden", "1\n"}, {"device/serial", "S1\n"}, {"wwid", "eui.0025\n"}});
  }
  std::string Select(const config::v1::DiskSelector& selector) {
    auto disk = SelectDisk(selector, ListDisks(directory_));
    return disk.ok() ? disk->device : std::string(disk.status().message());
  }
};

TEST_F(DiskSelectorTest, EverythingGivenMustFit) {
  config::v1::DiskSelector selector;
  EXPECT_THAT(Select(selector), HasSubstr("no disk is named"));
  selector.set_serial("S22");
  EXPECT_EQ(Select(selector), "/dev/sda");
  selector.set_model("fast");
  EXPECT_EQ(Select(selector),
            "no disk fits; there are: /dev/nvme0n1, 500.0 GiB, Fast SSD 980, serial S1, wwid eui.0025; "
            "/dev/sda, 64.0 GiB, Old Disk, serial S22, read-only; /dev/sdb, 64.0 GiB, Old [1m Disk, wwid naa.5");
  selector.clear_serial();
  EXPECT_EQ(Select(selector), "/dev/nvme0n1");
  selector.clear_model();
  selector.set_max_size(100);
  EXPECT_THAT(Select(selector), HasSubstr("several disks fit: /dev/sda, 64.0 GiB"));
  selector.set_wwid("naa.5");
  EXPECT_EQ(Select(selector), "/dev/sdb");
  selector.set_min_size(65);
  EXPECT_THAT(Select(selector), HasSubstr("no disk fits"));
}

TEST_F(DiskSelectorTest, APathMayBeALink) {
  config::v1::DiskSelector selector;
  selector.set_path("/dev/sda");
  EXPECT_EQ(Select(selector), "/dev/sda");
  selector.set_path("/dev/disk/by-id/none");
  EXPECT_THAT(Select(selector), HasSubstr("no disk fits"));
}

TEST_F(DiskSelectorTest, WithoutDisksThereAreNone) {
  config::v1::DiskSelector selector;
  selector.set_path("/dev/sda");
  EXPECT_EQ(SelectDisk(selector, ListDisks(directory_ + "/none")).status().message(), "no disk fits; there are: none");
}

TEST_F(LoopTest, ADiskInUseIsNotTaken) {
  EXPECT_TRUE(CheckNotInUse(loop_, "").ok());
  EXPECT_THAT(CheckNotInUse(loop_, loop_).message(), HasSubstr("is what this node runs from"));
  ASSERT_TRUE(PrepareDisk(loop_, options_, [](const std::string&) {}).ok());
  EXPECT_THAT(CheckNotInUse(loop_, loop_ + "p1").message(), HasSubstr("is what this node runs from"));
  ASSERT_TRUE(MountFilesystem(loop_ + "p2", options_.root + "/var", "ext4", "").ok());
  absl::Status status = CheckNotInUse(loop_, "");
  EXPECT_EQ(status.message(), absl::StrCat(loop_, " is in use: ", loop_, "p2 is mounted on ", options_.root, "/var"));
  EXPECT_EQ(DescribeContents(*ProbeDisk(loop_)), "gpt: STELE-STATE (ext4), STELE-DATA (ext4)");
}

}  // namespace
}  // namespace stele::machined
