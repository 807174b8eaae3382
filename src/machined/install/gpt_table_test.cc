#include "machined/install/gpt_table.h"

#include <unistd.h>

#include "base/crc32.h"
#include "gmock/gmock.h"
#include "machined/install/disk_note.h"
#include "machined/storage_fixture.h"

namespace stele::machined {
namespace {

using ::testing::HasSubstr;

TEST(PlanInstalledDisk, FitsBothSectorSizesAndSaysWhatIsTooSmall) {
  auto plan = PlanInstalledDisk(8192 * kMiB + 4096);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->size(), 5u);
  uint64_t at = kMiB;
  for (const PlannedPartition& part : *plan) {
    EXPECT_EQ(part.start, at);
    EXPECT_EQ(part.start % 4096, 0u);
    at += part.size;
  }
  EXPECT_EQ(at, 8191 * kMiB);
  EXPECT_EQ(PlanInstalledDisk(3000 * kMiB).status().message(),
            "the disk has 3000 MiB; an installation needs at least 3330 MiB");
  EXPECT_TRUE(PlanInstalledDisk(3330 * kMiB).ok());
}

class GptTableTest : public StorageTest {
 protected:
  DiskFile Open(uint32_t sector = 0) { return *DiskFile::Open(image_, sector); }
  bool IsInstalledTable() { return ProbeDisk(image_)->partitions.size() == 5; }
  std::string Verify() { return Sh({"/usr/sbin/sfdisk", "--verify", image_}); }
};

TEST_F(GptTableTest, NotesAreWholeOrNotThere) {
  MakeImage(64 * kMiB);
  DiskFile disk = Open();
  EXPECT_EQ(ReadDiskNote(disk, DiskNote::kReset).status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(WriteDiskNote(disk, DiskNote::kReset, "wipe it").ok());
  EXPECT_EQ(*ReadDiskNote(image_, DiskNote::kReset), "wipe it");
  EXPECT_EQ(ReadDiskNote(disk, DiskNote::kInstalling).status().code(), absl::StatusCode::kNotFound);
  std::string block = *disk.Read(kDiskNotesStart + 65536, 4096);
  for (size_t i = 0; i < 16 + 64 + 4 + 7; ++i) {
    std::string torn = block;
    torn[i] ^= 1;
    ASSERT_TRUE(disk.Write(kDiskNotesStart + 65536, torn).ok());
    EXPECT_FALSE(ReadDiskNote(disk, DiskNote::kReset).ok()) << i;
  }
  ASSERT_TRUE(WriteDiskNote(disk, DiskNote::kReset, "again").ok());
  ASSERT_TRUE(RemoveDiskNote(disk, DiskNote::kReset).ok());
  EXPECT_FALSE(ReadDiskNote(disk, DiskNote::kReset).ok());
  EXPECT_FALSE(WriteDiskNote(disk, DiskNote::kReset, std::string(3073, 'x')).ok());
}

TEST_F(GptTableTest, WritesATableForEitherSectorSize) {
  for (uint32_t sector : {512u, 4096u}) {
    MakeImage(0);
    MakeImage(4096 * kMiB + 8192);
    DiskFile disk = Open(sector);
    ASSERT_TRUE(WriteDiskNote(disk, DiskNote::kInstalling, "x").ok());
    absl::Status status = WriteNewTable(disk, *PlanInstalledDisk(disk.size()));
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(ReadDiskNote(disk, DiskNote::kInstalling).ok());
    EXPECT_EQ(disk.Read(sector, 8).value(), "EFI PART");
    EXPECT_EQ(disk.Read(disk.size() - sector, 8).value(), "EFI PART");
    if (sector == 4096) continue;  // Debian 12's sfdisk sees 512 in every file
    EXPECT_THAT(Verify(), HasSubstr("No errors detected"));
    auto contents = ProbeDisk(image_);
    ASSERT_TRUE(contents.ok());
    ASSERT_EQ(contents->partitions.size(), 5u);
    EXPECT_EQ(contents->partitions[2].label, "STELE-ROOT-B");
    EXPECT_NE(contents->partitions[0].uuid, contents->partitions[1].uuid);
    EXPECT_THAT(Sh({"/usr/sbin/sfdisk", "-d", image_}), HasSubstr("type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B"));
  }
}

TEST_F(GptTableTest, GrowsTheLastPartitionAndNothingElse) {
  MakeImage(4096 * kMiB);
  ASSERT_TRUE(WriteNewTable(Open(), *PlanInstalledDisk(4096 * kMiB)).ok());
  EXPECT_FALSE(*GrowLastPartition(Open(), kDataLabel));  // it fits already
  DiskContents before = *ProbeDisk(image_);
  ASSERT_EQ(::truncate(image_.c_str(), 6000 * kMiB + 12288), 0);
  EXPECT_EQ(GrowLastPartition(Open(), kStateLabel).status().message(),
            "the last partition is STELE-DATA, not STELE-STATE");
  auto grown = GrowLastPartition(Open(), kDataLabel);
  ASSERT_TRUE(grown.ok()) << grown.status();
  EXPECT_TRUE(*grown);
  EXPECT_THAT(Verify(), HasSubstr("No errors detected"));
  DiskContents after = *ProbeDisk(image_);
  ASSERT_EQ(after.partitions.size(), 5u);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(after.partitions[i].uuid, before.partitions[i].uuid);
    EXPECT_EQ(after.partitions[i].start, before.partitions[i].start);
    EXPECT_EQ(after.partitions[i].label, before.partitions[i].label);
    EXPECT_EQ(after.partitions[i].size, i < 4 ? before.partitions[i].size : 5999 * kMiB - before.partitions[4].start);
  }
  EXPECT_FALSE(*GrowLastPartition(Open(), kDataLabel));
}

// As a cut leaves it in the middle of growing; then the disk grows again.
TEST_F(GptTableTest, GrowsATableWhoseEntriesAreAside) {
  MakeImage(4096 * kMiB);
  ASSERT_TRUE(WriteNewTable(Open(), *PlanInstalledDisk(4096 * kMiB)).ok());
  {
    DiskFile disk = Open();
    std::string header = *disk.Read(512, 512);
    uint64_t aside = (256 << 10) / 512;
    ASSERT_TRUE(disk.Write(aside * 512, *disk.Read(1024, 128 * 128)).ok());
    ASSERT_TRUE(disk.Zero(1024, 128 * 128).ok());
    header.replace(72, 8, reinterpret_cast<const char*>(&aside), 8);
    header.replace(16, 4, std::string(4, '\0'));
    uint32_t sum = Crc32(header.substr(0, 92));
    header.replace(16, 4, reinterpret_cast<const char*>(&sum), 4);
    ASSERT_TRUE(disk.Write(512, header).ok());
  }
  ASSERT_TRUE(IsInstalledTable());
  ASSERT_EQ(::truncate(image_.c_str(), 5000 * kMiB), 0);
  auto grown = GrowLastPartition(Open(), kDataLabel);
  ASSERT_TRUE(grown.ok() && *grown) << grown.status();
  EXPECT_TRUE(IsInstalledTable());
  EXPECT_THAT(Verify(), HasSubstr("No errors detected"));
  EXPECT_EQ(Open().Read(512 + 72, 1)->at(0), 2);  // the entries are back in their own place
}

TEST_F(GptTableTest, ADiskWithoutATableIsNotGrown) {
  MakeImage(64 * kMiB);
  EXPECT_EQ(GrowLastPartition(Open(), kDataLabel).status().message(), "the disk has no GPT");
}

}  // namespace
}  // namespace stele::machined
