#include "machined/storage.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/storage_fixture.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

using ::testing::HasSubstr;

TEST(PlanPartitions, ScalesWithTheDisk) {
  struct Case {
    uint64_t disk, state, data;
  } cases[] = {{128 * kMiB, 16 * kMiB, 110 * kMiB},
               {1024 * kMiB + 12345, 128 * kMiB, 894 * kMiB},
               {2048 * kMiB, 256 * kMiB, 1790 * kMiB},
               {2048 * 1024 * kMiB, 256 * kMiB, (2048 * 1024 - 258) * kMiB}};
  for (const Case& c : cases) {
    auto plan = PlanPartitions(c.disk);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ((*plan)[0].start, kMiB);
    EXPECT_EQ((*plan)[0].size, c.state) << c.disk;
    EXPECT_EQ((*plan)[1].start, kMiB + c.state);
    EXPECT_EQ((*plan)[1].size, c.data) << c.disk;
  }
  EXPECT_EQ(PlanPartitions(127 * kMiB).status().message(), "the disk has 127 MiB; at least 128 are needed");
}

TEST_F(StorageTest, FormatsAnEmptyDisk) {
  MakeImage(200 * kMiB + 512);
  ASSERT_EQ(ProbeDisk(image_)->found, "");
  absl::Status status = FormatEmptyDisk(image_, Tools());
  ASSERT_TRUE(status.ok()) << status;
  auto contents = ProbeDisk(image_);
  ASSERT_TRUE(contents.ok()) << contents.status();
  EXPECT_EQ(contents->found, "gpt");
  ASSERT_EQ(contents->partitions.size(), 2u);
  for (const char* label : {kStateLabel, kDataLabel}) {
    const Partition* partition = FindPartition(*contents, label);
    ASSERT_NE(partition, nullptr) << label;
    EXPECT_EQ(partition->fstype, "ext4") << label;
    EXPECT_EQ(partition->uuid.size(), 36u);
    EXPECT_THAT(Sh({"/usr/sbin/e2fsck", "-fn", absl::StrCat(image_, "?offset=", partition->start)}),
                Not(HasSubstr("exit")));
  }
  EXPECT_EQ(Sh({"/usr/sbin/sfdisk", "--verify", "--quiet", image_}).substr(0, 4), "");
  // Once is enough.
  EXPECT_EQ(FormatEmptyDisk(image_, Tools()).message(), absl::StrCat(image_, " is not empty: it holds gpt"));
}

TEST_F(StorageTest, NeverTouchesWhatHoldsAnything) {
  struct Case {
    const char* what;
    std::function<void()> fill;
    const char* found;
  } cases[] = {
      {"ext4",
       [&] {
         Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_});
       },
       "ext4"},
      {"swap",
       [&] {
         Sh({"/usr/sbin/mkswap", image_});
       },
       "swap"},
      {"a DOS table",
       [&] {
         WriteAt(510, "\x55\xAA");
         WriteAt(450, absl::string_view("\x83\0\0\0\1\0\0\0\1\0\0", 11));
       },
       "dos"},
      {"LUKS", [&] { WriteAt(0, absl::string_view("LUKS\xba\xbe\0\1", 8)); }, "crypto_LUKS"},
      {"a byte at the start", [&] { WriteAt(77'777, "x"); }, "data"},
      {"a byte at the end", [&] { WriteAt(200 * kMiB - 1, "x"); }, "data"},
      {"ext4 and a RAID member",
       [&] {
         Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_});
         WriteAt(200 * kMiB - 65536, absl::string_view("\xfc\x4e\x2b\xa9\0\0\0\0\x5a\0\0\0", 12));
       },
       nullptr},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    MakeImage(200 * kMiB);
    c.fill();
    std::string before = LastWrite();
    auto contents = ProbeDisk(image_);
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_NE(contents->found, "");
    EXPECT_EQ(contents->found, c.found == nullptr ? contents->found : c.found);
    EXPECT_EQ(FormatEmptyDisk(image_, Tools()).code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(PrepareDisk(image_, {.tools = Tools()}, [](const std::string&) {}).code(),
              absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(LastWrite(), before);
    ::unlink(image_.c_str());
  }
}

TEST_F(StorageTest, APowerCutBeforeTheTableLeavesAnEmptyDisk) {
  MakeImage(200 * kMiB);
  ASSERT_TRUE(FormatEmptyDisk(image_, Tools()).ok());
  // Both copies of the table, as if they had not been written yet.
  WriteAt(0, std::string(kMiB, '\0'));
  WriteAt(199 * kMiB, std::string(kMiB, '\0'));
  EXPECT_EQ(ProbeDisk(image_)->found, "");
  ASSERT_TRUE(FormatEmptyDisk(image_, Tools()).ok());
  EXPECT_EQ(ProbeDisk(image_)->partitions.size(), 2u);
}

TEST_F(StorageTest, FormatsAnEmptyPartitionOfOurs) {
  MakeImage(200 * kMiB);
  ASSERT_TRUE(FormatEmptyDisk(image_, Tools()).ok());
  Partition data = *FindPartition(*ProbeDisk(image_), kDataLabel);
  WriteAt(data.start, std::string(kMiB, '\0'));
  ASSERT_EQ(FindPartition(*ProbeDisk(image_), kDataLabel)->fstype, "");
  std::vector<std::string> told;
  ASSERT_TRUE(PrepareDisk(image_, {.tools = Tools()}, [&](const std::string& line) { told.push_back(line); }).ok());
  EXPECT_EQ(FindPartition(*ProbeDisk(image_), kDataLabel)->fstype, "ext4");
  EXPECT_THAT(told, testing::ElementsAre(absl::StrCat("format STELE-DATA on ", image_)));
}

TEST_F(StorageTest, SaysWhyAFormatFailed) {
  MakeImage(100 * kMiB);
  EXPECT_EQ(FormatEmptyDisk(image_, Tools()).message(),
            absl::StrCat(image_, ": the disk has 100 MiB; at least 128 are needed"));
  MakeImage(200 * kMiB);
  EXPECT_EQ(FormatEmptyDisk(image_, {"/no/mke2fs", ""}).message(),
            absl::StrCat(image_, ": make the file system STELE-STATE: run /no/mke2fs: No such file or directory"));
  EXPECT_EQ(ProbeDisk(image_)->found, "");
  EXPECT_EQ(ProbeDisk("/no/disk").status().message(), "open /no/disk: No such file or directory");
  EXPECT_EQ(ProbeDisk("/dev/null").status().message(), "look at /dev/null: not a disk");
}

TEST_F(StorageTest, MendsAFilesystemOrSaysThatItCannot) {
  MakeImage(64 * kMiB);
  ASSERT_EQ(Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", image_}), "");
  EXPECT_TRUE(CheckFilesystem(image_, false, Tools()).ok());
  // A group descriptor gone: -p refuses to guess, -y takes the copy.
  WriteAt(4096, std::string(4096, '\x7f'));
  EXPECT_TRUE(CheckFilesystem(image_, true, Tools()).ok());
  EXPECT_TRUE(CheckFilesystem(image_, false, Tools()).ok());
  MakeImage(0);
  MakeImage(8 * kMiB);
  EXPECT_EQ(CheckFilesystem(image_, true, Tools()).code(), absl::StatusCode::kDataLoss);
}

TEST_F(StorageTest, FindsTheDiskWeWereBootedFrom) {
  StorageOptions options = {.loader_partition = directory_ + "/variable",
                            .sys_block = directory_ + "/none",
                            .disk_wait = absl::Milliseconds(80)};
  EXPECT_EQ(FindOwnDisk("", options).status().message(),
            "the config names no disk, and the boot loader does not say which it came from");
  std::string variable = std::string("\6\0\0\0", 4);
  for (char c : std::string("57E1E000-0000-4000-8000-000000000001")) variable += std::string(1, c) + '\0';
  ASSERT_TRUE(ReplaceFile(options.loader_partition, variable + std::string(2, '\0')).ok());
  EXPECT_EQ(FindOwnDisk("", options).status().message(),
            "no disk has the partition 57e1e000-0000-4000-8000-000000000001 that the boot loader came from");
  EXPECT_EQ(FindOwnDisk(directory_ + "/absent", options).status().message(),
            absl::StrCat("storage.disk ", directory_, "/absent is not there"));
  ASSERT_EQ(::symlink("/dev/null", (directory_ + "/link").c_str()), 0);
  EXPECT_EQ(*FindOwnDisk(directory_ + "/link", options), "/dev/null");
}

TEST_F(LoopTest, FromAnEmptyDiskToVarAndBackAgain) {
  EXPECT_EQ(MountState(loop_, options_).status().code(), absl::StatusCode::kNotFound);
  absl::Status status = PrepareDisk(loop_, options_, [](const std::string&) {});
  ASSERT_TRUE(status.ok()) << status;
  auto state = MountState(loop_, options_);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->device(), loop_ + "p1");
  auto data = MountData(loop_, options_);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->device(), loop_ + "p2");
  EXPECT_TRUE(data->ready());
  EXPECT_TRUE(*DataIsMounted(options_));
  const std::string& root = options_.root;
  EXPECT_EQ(*ReadFile(root + "/opt/cni/bin/bridge"), "plugin");
  ASSERT_TRUE(ReplaceFile(root + "/opt/cni/bin/installed", "by a DaemonSet", 0755).ok());
  ASSERT_TRUE(ReplaceFile(root + "/etc/cni/net.d/10-own.conflist", "{}").ok());
  ASSERT_TRUE(ReplaceFile(root + "/run/stele/state/generation", "1").ok());
  struct stat info;
  ASSERT_EQ(::stat((root + "/var/tmp").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777u);

  // machined was killed and starts again: nothing changes.
  ASSERT_TRUE(MountState(loop_, options_).ok());
  ASSERT_TRUE(PrepareDisk(loop_, options_, [](const std::string& line) { ADD_FAILURE() << line; }).ok());
  ASSERT_TRUE(MountData(loop_, options_).ok());

  // The next boot.
  Unmount();
  ASSERT_TRUE(PrepareDisk(loop_, options_, [](const std::string& line) { ADD_FAILURE() << line; }).ok());
  ASSERT_TRUE(MountState(loop_, options_).ok());
  ASSERT_TRUE(MountData(loop_, options_).ok());
  EXPECT_EQ(*ReadFile(root + "/run/stele/state/generation"), "1");
  EXPECT_EQ(*ReadFile(root + "/opt/cni/bin/installed"), "by a DaemonSet");
  EXPECT_EQ(*ReadFile(root + "/etc/cni/net.d/10-own.conflist"), "{}");
  EXPECT_EQ(FormatEmptyDisk(loop_, Tools()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LoopTest, ADiskInUseIsNotEmpty) {
  ASSERT_EQ(Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", loop_}), "");
  ASSERT_TRUE(MountFilesystem(loop_, options_.root + "/var", "ext4", "").ok());
  WriteAt(0, std::string(2 * kMiB, '\0'));  // whatever wiped its start: somebody has it mounted
  Sh({"/usr/sbin/blockdev", "--flushbufs", loop_});
  EXPECT_EQ(FormatEmptyDisk(loop_, Tools()).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(LoopTest, OneAtATimeHoldsTheDisk) {
  auto lock = LockDisk(loop_, absl::Seconds(1));
  ASSERT_TRUE(lock.ok()) << lock.status();
  EXPECT_EQ(LockDisk(loop_, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  lock->reset();
  EXPECT_TRUE(LockDisk(loop_, absl::Milliseconds(50)).ok());
}

TEST_F(LoopTest, WithoutADiskVarIsMemory) {
  auto data = MountDataInMemory(options_);
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->fstype(), "tmpfs");
  EXPECT_EQ(*ReadFile(options_.root + "/opt/cni/bin/bridge"), "plugin");
  EXPECT_TRUE(*DataIsMounted(options_));
}

TEST_F(LoopTest, AForeignFilesystemInOurPartitionIsLeftAlone) {
  ASSERT_TRUE(PrepareDisk(loop_, options_, [](const std::string&) {}).ok());
  ASSERT_THAT(Sh({"/usr/sbin/mkswap", "-f", loop_ + "p2"}), HasSubstr("Setting up"));
  EXPECT_EQ(MountData(loop_, options_).status().message(),
            absl::StrCat("STELE-DATA on ", loop_, " holds swap instead of ext4"));
}

}  // namespace
}  // namespace stele::machined
