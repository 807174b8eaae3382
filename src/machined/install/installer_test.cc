#include "machined/install/installer.h"

#include "gmock/gmock.h"
#include "image_file/test_image.h"
#include "machined/install/disk_note.h"
#include "machined/install/installer_fixture.h"
#include "machined/install/medium_source.h"
#include "machined/install/remove_tree.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class InstallerTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    if (!MayMountImages()) GTEST_SKIP() << "needs root that may mount, and loop devices";
    MakeImage(3400 * kMiB);
    options_ = TestOptions(image_, directory_ + "/work");
  }
  absl::Status Install() {
    told_.clear();
    warnings_.clear();
    Installer installer(options_, TestSource(), [this](const InstallProgress& progress) {
      if (told_.empty() || told_.back() != progress.step) told_.push_back(progress.step);
      if (!progress.warning.empty()) warnings_.push_back(progress.warning);
      last_ = progress;
    });
    return installer.Run();
  }
  absl::StatusOr<std::vector<std::string>> Plan() {
    return Installer(options_, TestSource(), [](const InstallProgress&) {}).Plan();
  }
  std::string Missing() { return WhatIsMissing(image_, directory_ + "/work"); }

  InstallOptions options_;
  std::vector<std::string> told_, warnings_;
  InstallProgress last_;
};

TEST_F(InstallerTest, FromAnEmptyDiskToAllOfIt) {
  auto plan = Plan();
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(*plan,
              ElementsAre(absl::StrCat("install Stele 0.1.0 on ", image_), "make ESP, 512 MiB",
                          "make STELE-ROOT-A, 1024 MiB", "make STELE-ROOT-B, 1024 MiB", "make STELE-STATE, 256 MiB",
                          "make STELE-DATA, 582 MiB", "add boot entries to the firmware"));
  EXPECT_EQ(ProbeDisk(image_)->found, "");  // only looked at
  EspPartition esp;
  options_.point_boot_entries = [&](const std::string&, const EspPartition& partition) {
    esp = partition;
    return absl::ResourceExhaustedError("full");
  };
  absl::Status status = Install();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Missing(), "");
  EXPECT_EQ(told_, Installer::StepNames());
  EXPECT_EQ(last_.bytes_done, last_.bytes_total);
  EXPECT_EQ(esp.start, 2048u);
  EXPECT_EQ(esp.size, 1048576u);
  EXPECT_EQ(esp.uuid, ProbeDisk(image_)->partitions[0].uuid);
  EXPECT_THAT(warnings_, ElementsAre(HasSubstr("no boot entries (full)")));
  EXPECT_FALSE(ReadDiskNote(image_, DiskNote::kInstalling).ok());
  EXPECT_THAT(Sh({"/usr/sbin/sfdisk", "--verify", image_}), HasSubstr("No errors detected"));
  for (const char* label : {kStateLabel, kDataLabel}) {
    EXPECT_THAT(Sh({"/usr/sbin/e2fsck", "-fn",
                    absl::StrCat(image_, "?offset=", FindPartition(*ProbeDisk(image_), label)->start)}),
                Not(HasSubstr("exit")));
  }
}

TEST_F(InstallerTest, WhatHoldsAnythingIsTakenOnlyWhenToldSo) {
  Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_});
  std::string before = LastWrite();
  EXPECT_EQ(Install().message(),
            absl::StrCat("install on ", image_, ": check: the disk holds ext4; with `wipe` it would be erased"));
  EXPECT_EQ(LastWrite(), before);
  options_.wipe = true;
  EXPECT_THAT(*Plan(), testing::Contains("wipe what it holds: ext4"));
  ASSERT_TRUE(Install().ok());
  EXPECT_EQ(Missing(), "");
  std::string uuid = ProbeDisk(image_)->partitions[0].uuid;
  // Over itself: again only when told so, and with fresh GUIDs.
  options_.wipe = false;
  EXPECT_THAT(Install().message(), HasSubstr("the disk holds gpt: ESP"));
  options_.wipe = true;
  ASSERT_TRUE(Install().ok());
  EXPECT_EQ(Missing(), "");
  EXPECT_NE(ProbeDisk(image_)->partitions[0].uuid, uuid);
}

TEST_F(InstallerTest, WhatWasCutIsGoneOnWithAndSomebodysTableIsNot) {
  DiskFile disk = *DiskFile::Open(image_);
  ASSERT_TRUE(WriteDiskNote(disk, DiskNote::kInstalling, "0.1.0").ok());
  ASSERT_TRUE(disk.Write(512, "EFI PART and so on").ok());
  EXPECT_THAT(*Plan(), testing::Contains("begin anew where an installation was cut off"));
  Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_});
  ASSERT_TRUE(WriteDiskNote(disk, DiskNote::kInstalling, "0.1.0").ok());
  EXPECT_THAT(Install().message(), HasSubstr("the disk holds ext4"));
}

TEST_F(InstallerTest, ADiskOfOddSizeAndOnesThatAreTooSmall) {
  MakeImage(3333 * kMiB + 5 * 512);
  ASSERT_TRUE(Install().ok());
  EXPECT_EQ(Missing(), "");
  MakeImage(0);
  MakeImage(2000 * kMiB);
  EXPECT_THAT(Install().message(), HasSubstr("the disk has 2000 MiB; an installation needs at least 3330 MiB"));
  EXPECT_EQ(ProbeDisk(image_)->found, "");
}

TEST_F(InstallerTest, ADiskThatForgetsIsFoundOut) {
  // Somebody writes over a block of the root before it is read back.
  InstallSource source = TestSource();
  Installer installer(options_, source, [this](const InstallProgress& progress) {
    if (progress.step == "table") WriteAt(513 * kMiB + 4096 * 3, "x");
  });
  EXPECT_THAT(installer.Run().message(), HasSubstr("table: STELE-ROOT-A: the disk does not hold what was written"));
  EXPECT_NE(ProbeDisk(image_)->found, "gpt");
}

TEST_F(InstallerTest, TheRealEsp) {
  // As on a node, up to the mount, which needs a kernel with vfat.
  options_.make_esp = InstallOptions().make_esp;
  options_.esp_type = "vfat";
  absl::Status status = Install();
  EXPECT_THAT(Sh({"/usr/bin/minfo", "-i", absl::StrCat(image_, "@@1M"), "::"}), HasSubstr("disk type=\"FAT32   \""));
  EXPECT_THAT(Sh({"/usr/bin/minfo", "-i", absl::StrCat(image_, "@@1M"), "::"}), HasSubstr("cluster size: 8 sectors"));
  EXPECT_THAT(Sh({"/usr/bin/mdir", "-i", absl::StrCat(image_, "@@1M"), "::"}), HasSubstr("Volume in drive : is ESP"));
  if (!status.ok()) {
    EXPECT_THAT(status.message(), HasSubstr("image: ESP: mount /dev/loop"));
    GTEST_SKIP() << "needs a kernel with vfat";
  }
}

TEST_F(InstallerTest, AMediumIsReadOnlyWhereItIsSigned) {
  BootFacts facts = {.medium = BootMedium::kSlot};
  EXPECT_THAT(OpenMediumSource(facts, {}).status().message(), HasSubstr("is installed on already"));
  facts.medium = BootMedium::kMemory;
  EXPECT_THAT(OpenMediumSource(facts, {}).status().message(), HasSubstr("was not booted from a medium"));
}

TEST_F(StorageTest, DeletesAllButWhatIsKept) {
  for (const char* file : {"lib/etcd/member/wal", "lib/etcd2/x", "lib/kubelet/pods/a", "log/b", "top"}) {
    std::string path = absl::StrCat(directory_, "/", file);
    ASSERT_TRUE(MakeDirectories(path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(ReplaceFile(path, file).ok());
  }
  ASSERT_EQ(::symlink("/etc", (directory_ + "/lib/out").c_str()), 0);
  ASSERT_TRUE(EmptyTree(directory_, {"lib/etcd", "lib/none"}).ok());
  EXPECT_EQ(Sh({"/usr/bin/find", directory_, "-type", "f"}), directory_ + "/lib/etcd/member/wal\n");
  EXPECT_EQ(::access("/etc/passwd", F_OK), 0);
  EXPECT_TRUE(EmptyTree(directory_, {"lib/etcd"}).ok());
  EXPECT_TRUE(RemoveTree(directory_ + "/lib").ok());
  EXPECT_TRUE(RemoveTree(directory_ + "/lib").ok());
}

}  // namespace
}  // namespace stele::machined
