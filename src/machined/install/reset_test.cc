#include "machined/install/reset.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/last_words.h"
#include "gmock/gmock.h"
#include "machined/install/disk_file.h"
#include "machined/install/disk_note.h"
#include "machined/install/grow.h"
#include "machined/storage_fixture.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

using machine::v1::ResetRequest;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ResetRequest Request(bool state, bool data, std::vector<std::string> keep = {}, bool thorough = false) {
  ResetRequest request;
  request.set_state(state);
  request.set_data(data);
  for (const std::string& path : keep) request.add_keep(path);
  request.set_thorough(thorough);
  return request;
}

TEST(CheckReset, RefusesWhatMakesNoSense) {
  EXPECT_TRUE(CheckReset(Request(true, true)).ok());
  EXPECT_TRUE(CheckReset(Request(false, true, {"lib/etcd", "log"})).ok());
  EXPECT_FALSE(CheckReset(Request(false, false)).ok());
  EXPECT_FALSE(CheckReset(Request(true, false, {"lib"})).ok());
  EXPECT_FALSE(CheckReset(Request(false, true, {"lib"}, true)).ok());
  EXPECT_FALSE(CheckReset(Request(false, true, std::vector<std::string>(17, "a"))).ok());
  for (const char* path : {"", "/lib", "lib/", "../etc", "lib/../..", "lib//x", "."}) {
    EXPECT_FALSE(CheckReset(Request(false, true, {path})).ok()) << path;
  }
  EXPECT_FALSE(CheckReset(Request(false, true, {std::string(129, 'a')})).ok());
  EXPECT_FALSE(CheckReset(Request(false, true, {std::string("a\0b", 3)})).ok());
}

TEST(CheckReset, ThePlanIsInOrder) {
  EXPECT_THAT(PlanReset(Request(true, true, {"lib/etcd", "log"})),
              ElementsAre("note the reset on the disk", "reboot", "delete everything in /var except lib/etcd, log",
                          "overwrite STELE-STATE and format it", "boot on"));
}

class ResetTest : public LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(PrepareDisk(loop_, options_, [](const std::string&) {}).ok());
    Mount();
    Put("/run/stele/state/config/generation-00000001.yaml");
    Put("/run/stele/state/upgrade/a.manifest");
    Put("/var/lib/etcd/wal");
    Put("/var/log/pods/x");
  }
  void Put(const std::string& path) {
    ASSERT_TRUE(MakeDirectories(options_.root + path.substr(0, path.rfind('/'))).ok());
    ASSERT_TRUE(ReplaceFile(options_.root + path, "SECRET-TEXT").ok());
  }
  void Mount() {
    ASSERT_TRUE(MountState(loop_, options_).ok());
    absl::StatusOr<VolumeStatus> data = MountData(loop_, options_);
    ASSERT_TRUE(data.ok()) << data.status();
  }
  bool Has(const std::string& path) { return ::access((options_.root + path).c_str(), F_OK) == 0; }
  // The wish, the reboot, and what the next boot does.
  absl::Status Reset(const ResetRequest& request) {
    RETURN_IF_ERROR(WriteResetWish(loop_, {request, "admin\n(admin)"}));
    Unmount();
    auto wish = ReadResetWish(loop_);
    RETURN_IF_ERROR(wish.status());
    EXPECT_EQ((*wish)->asked_by, "admin (admin)");
    return CarryOutReset(loop_, **wish, options_, [this](const std::string& line) { told_.push_back(line); });
  }
  std::vector<std::string> told_;
};

TEST_F(ResetTest, WipesWhatWasAskedAndNothingElse) {
  ASSERT_TRUE(Reset(Request(true, false)).ok());
  EXPECT_FALSE(ReadResetWish(loop_)->has_value());
  Mount();
  EXPECT_FALSE(Has("/run/stele/state/config"));
  EXPECT_TRUE(Has("/run/stele/state/upgrade/a.manifest"));
  EXPECT_TRUE(Has("/var/lib/etcd/wal"));
  absl::Status status = Reset(Request(false, true));
  ASSERT_TRUE(status.ok()) << status;
  Mount();
  EXPECT_FALSE(Has("/var/lib/etcd"));
  EXPECT_TRUE(Has("/run/stele/state/upgrade/a.manifest"));
}

TEST_F(ResetTest, KeepsWhatWasAskedToBeKept) {
  absl::Status status = Reset(Request(true, true, {"lib/etcd", "lib/none"}));
  ASSERT_TRUE(status.ok()) << status;
  Mount();
  EXPECT_TRUE(Has("/var/lib/etcd/wal"));
  EXPECT_FALSE(Has("/var/log/pods/x"));
  EXPECT_FALSE(Has("/run/stele/state/config"));
}

TEST_F(ResetTest, ThoroughLeavesNoByte) {
  ASSERT_TRUE(Reset(Request(true, true, {}, true)).ok());
  EXPECT_THAT(told_, testing::Contains("overwrite STELE-DATA: 100 %"));
  EXPECT_THAT(Sh({"/bin/grep", "-c", "-a", "SECRET-TEXT", loop_}), HasSubstr("1"));  // the manifest alone
}

TEST_F(ResetTest, WhileAnythingIsMountedNothingIsDone) {
  ASSERT_TRUE(WriteResetWish(loop_, {Request(true, true), "x"}).ok());
  EXPECT_THAT(CarryOutReset(loop_, {Request(true, true), "x"}, options_, [](const std::string&) {}).message(),
              HasSubstr("is in use: reboot first"));
  EXPECT_TRUE(Has("/var/lib/etcd/wal"));
  EXPECT_TRUE(ReadResetWish(loop_)->has_value());
}

TEST_F(ResetTest, ACutAnywhereIsGoneOnWith) {
  // As after a cut between wiping and formatting: neither file system is there.
  ASSERT_TRUE(WriteResetWish(loop_, {Request(true, true), "x"}).ok());
  Unmount();
  DiskFile disk = *DiskFile::Open(loop_);
  DiskContents contents = *ProbeDisk(loop_);
  for (const Partition& part : contents.partitions) {
    DiskFile device = *DiskFile::Open(part.device);
    ASSERT_TRUE(device.Zero(0, kMiB).ok());
    ASSERT_TRUE(device.Flush().ok());
  }
  absl::Status status = CarryOutReset(loop_, **ReadResetWish(loop_), options_, [](const std::string&) {});
  ASSERT_TRUE(status.ok()) << status;
  Mount();
  EXPECT_FALSE(ReadResetWish(loop_)->has_value());
}

TEST_F(ResetTest, ACutAfterTheWipingKeepsTheManifests) {
  // What init left of an image is in the same gap, and in nobody's way.
  ASSERT_TRUE(WriteLastWords(loop_, {std::string(64, 'a'), "entry", "why"}).ok());
  ASSERT_TRUE(WriteResetWish(loop_, {Request(true, false), "x"}).ok());
  Unmount();
  pid_t child = ::fork();
  if (child == 0) {
    CarryOutReset(loop_, **ReadResetWish(loop_), options_, [](const std::string& line) {
      if (line == "overwrite STELE-STATE: 100 %") ::_exit(7);
    }).IgnoreError();
    ::_exit(0);
  }
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  ASSERT_EQ(WEXITSTATUS(ended), 7);
  EXPECT_EQ(FindPartition(*ProbeDisk(loop_), kStateLabel)->fstype, "");
  ASSERT_TRUE(WriteLastWords(loop_, {std::string(64, 'a'), "entry", "why, again"}).ok());  // of the boot between
  absl::Status status = CarryOutReset(loop_, **ReadResetWish(loop_), options_, [](const std::string&) {});
  ASSERT_TRUE(status.ok()) << status;
  Mount();
  EXPECT_EQ(ReadFile(options_.root + "/run/stele/state/upgrade/a.manifest").value_or(""), "SECRET-TEXT");
  EXPECT_FALSE(Has("/run/stele/state/upgrade/b.manifest"));
  EXPECT_FALSE(ReadDiskNote(loop_, DiskNote::kManifests).ok());
  EXPECT_EQ(ReadLastWords(loop_)->text, "why, again");
}

TEST_F(ResetTest, ANoteOfAnotherVersionIsTold) {
  ASSERT_TRUE(WriteDiskNote(*DiskFile::Open(loop_), DiskNote::kReset, "nobody\n\xff\xff").ok());
  EXPECT_EQ(ReadResetWish(loop_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(StorageTest, ADiskOfSomebodyElseTakesNoWish) {
  MakeImage(200 * kMiB);
  EXPECT_THAT(WriteResetWish(image_, {Request(true, true), "x"}).message(),
              HasSubstr("is not divided as Stele divides a disk"));
}

// The file system follows the partition, while it is mounted, and also when only the table had grown before a power
// cut.
TEST_F(ResetTest, GrowsOnALargerDisk) {
  EXPECT_FALSE(*GrowDataPartition(loop_));
  Unmount();
  ASSERT_EQ(::truncate(image_.c_str(), 700 * kMiB), 0);
  Sh({"/usr/sbin/losetup", "-c", loop_});
  auto grown = GrowDataPartition(loop_);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_TRUE(*grown);
  EXPECT_FALSE(*GrowDataPartition(loop_));
  EXPECT_THAT(Sh({"/usr/sbin/sfdisk", "--verify", loop_}), HasSubstr("No errors detected"));
  Mount();
  EXPECT_TRUE(Has("/var/lib/etcd/wal"));
  auto filesystem = GrowFilesystem(loop_ + "p2", options_.root + "/var");
  if (filesystem.status().code() == absl::StatusCode::kPermissionDenied) GTEST_SKIP() << "needs CAP_SYS_RESOURCE";
  ASSERT_TRUE(filesystem.ok()) << filesystem.status();
  EXPECT_TRUE(*filesystem);
  EXPECT_FALSE(*GrowFilesystem(loop_ + "p2", options_.root + "/var"));
  Unmount();
  EXPECT_THAT(Sh({"/usr/sbin/e2fsck", "-fn", loop_ + "p2"}), Not(HasSubstr("exit")));
  Mount();
  EXPECT_TRUE(Has("/var/lib/etcd/wal"));
}

}  // namespace
}  // namespace stele::machined
