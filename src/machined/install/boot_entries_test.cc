#include "machined/install/boot_entries.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "machined/storage_fixture.h"
#include "machined/storage_format.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;

const EspPartition kEsp = {1, 2048, 1048576, "57E1E000-0000-4000-8000-00000000000A"};
constexpr char kLoader[] = "EFI/systemd/boot-0123abcd.efi";

constexpr char kGone[] = "00000000-0000-4000-8000-00000000000c";

bool IsGone(const std::string& uuid) { return uuid == kGone; }

std::string Entry(const std::string& description, const EspPartition& partition, const std::string& file) {
  return *EncodeLoadOption({.description = description, .partition = partition, .file = file});
}

TEST(LoadOption, IsWhatTheSpecificationSays) {
  // Laid out by hand, after the UEFI specification, 3.1.3 and 10.3.5.
  std::string bytes = absl::HexStringToBytes(
      "010000005e00"
      "5300740065006c0065000000"
      "04012a000100000000080000000000000000100000000000"
      "00e0e15700000040800000000000000a0202"
      "04043000"
      "5c004500460049005c0042004f004f0054005c0042004f004f0054005800360034002e00450046004900"
      "00007fff0400");
  absl::StatusOr<LoadOption> option = DecodeLoadOption(bytes);
  ASSERT_TRUE(option.ok()) << option.status();
  EXPECT_EQ(option->description, "Stele");
  EXPECT_EQ(option->file, "\\EFI\\BOOT\\BOOTX64.EFI");
  EXPECT_EQ(option->partition.start, 2048u);
  EXPECT_EQ(option->partition.size, 1048576u);
  EXPECT_EQ(option->partition.uuid, "57e1e000-0000-4000-8000-00000000000a");
  EXPECT_EQ(*EncodeLoadOption(*option), bytes);
}

TEST(LoadOption, EveryCutAndEveryFlippedByteIsTakenCalmly) {
  std::string good = Entry("Stele", kEsp, "\\EFI\\a.efi");
  for (size_t size = 0; size <= good.size(); ++size) DecodeLoadOption(good.substr(0, size)).IgnoreError();
  for (size_t i = 0; i < good.size(); ++i) {
    for (int flip : {1, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] ^= flip;
      DecodeLoadOption(bad).IgnoreError();
    }
  }
  EXPECT_FALSE(DecodeLoadOption("").ok());
  EXPECT_FALSE(EncodeLoadOption({.partition = {.uuid = "no"}}).ok());
}

TEST(PlanBootEntries, FourFirstAndTheOthersBehind) {
  std::map<uint16_t, std::string> existing = {
      {0, Entry("Windows", {2, 1, 2, "00000000-0000-4000-8000-00000000000b"}, "\\a")}, {1, "garbage"}};
  absl::StatusOr<BootEntryPlan> plan = PlanBootEntries(existing, {1, 0}, {kLoader}, kEsp, IsGone);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->write.size(), 4u);
  EXPECT_THAT(plan->order, ElementsAre(2, 3, 4, 5, 1, 0));
  EXPECT_TRUE(plan->remove.empty());
  for (const auto& [number, bytes] : plan->write) {
    EXPECT_EQ(bytes, plan->write.begin()->second);
    EXPECT_EQ(DecodeLoadOption(bytes)->file, "\\EFI\\systemd\\boot-0123abcd.efi");
    existing[number] = bytes;
  }
  // Again: nothing.
  plan = PlanBootEntries(existing, plan->order, {kLoader}, kEsp, IsGone);
  EXPECT_TRUE(plan->write.empty());
  EXPECT_FALSE(plan->order_changes);
  EXPECT_TRUE(plan->remove.empty());
  // Another loader, with the one before behind it: one of its four stays, as it is.
  plan = PlanBootEntries(existing, plan->order, {"EFI/systemd/boot-ffffffff.efi", kLoader}, kEsp, IsGone);
  EXPECT_THAT(plan->order, ElementsAre(6, 7, 8, 9, 2, 1, 0));
  EXPECT_THAT(plan->remove, ElementsAre(3, 4, 5));
  EXPECT_EQ(plan->write.size(), 4u);
  // Alone: four new ones, and the four old ones go.
  plan = PlanBootEntries(existing, {2, 3, 4, 5, 1, 0}, {"EFI/systemd/boot-ffffffff.efi"}, kEsp, IsGone);
  EXPECT_THAT(plan->order, ElementsAre(6, 7, 8, 9, 1, 0));
  EXPECT_THAT(plan->remove, ElementsAre(2, 3, 4, 5));
}

TEST(PlanBootEntries, OursOfADiskThatIsGoneAreStaleAndThoseOfAnotherStay) {
  EspPartition other = kEsp, there = kEsp;
  other.uuid = kGone;
  there.uuid = "00000000-0000-4000-8000-00000000000d";
  std::map<uint16_t, std::string> existing = {{3, Entry("Stele", other, "\\EFI\\systemd\\boot-00000000.efi")},
                                              {4, Entry("Stele", other, "\\EFI\\debian\\shimx64.efi")},
                                              {5, Entry("UEFI disk", kEsp, "\\EFI\\BOOT\\BOOTX64.EFI")},
                                              {7, Entry("Stele", there, "\\EFI\\systemd\\boot-00000000.efi")}};
  absl::StatusOr<BootEntryPlan> plan = PlanBootEntries(existing, {3, 7, 4, 5}, {kLoader}, kEsp, IsGone);
  EXPECT_THAT(plan->remove, ElementsAre(3, 5));
  EXPECT_THAT(plan->order, ElementsAre(0, 1, 2, 6, 7, 4));
}

class BootEntriesTest : public StorageTest {};

TEST_F(BootEntriesTest, AppliesThePlanAndAgainChangesNothing) {
  EfiVariables variables(directory_);
  ASSERT_TRUE(variables.Write(absl::StrCat("Boot0000-", kEfiGlobalGuid), {7, "garbage"}).ok());
  ASSERT_TRUE(variables.Write(absl::StrCat("BootOrder-", kEfiGlobalGuid), {7, std::string("\0\0", 2)}).ok());
  ASSERT_TRUE(PointBootEntriesTo({kLoader}, kEsp, variables).ok());
  EXPECT_EQ(variables.List("Boot0")->size(), 5u);
  EXPECT_EQ(variables.Read(absl::StrCat("BootOrder-", kEfiGlobalGuid))->data, std::string("\1\0\2\0\3\0\4\0\0\0", 10));
  std::string before = Sh({"/bin/ls", "-l", "--full-time", directory_});
  ASSERT_TRUE(PointBootEntriesTo({kLoader}, kEsp, variables).ok());
  EXPECT_EQ(Sh({"/bin/ls", "-l", "--full-time", directory_}), before);
  ASSERT_TRUE(PointBootEntriesTo({"EFI/systemd/boot-ffffffff.efi"}, kEsp, variables).ok());
  EXPECT_EQ(variables.List("Boot0")->size(), 5u);
}

TEST_F(BootEntriesTest, AnOrderThatCannotBeReadIsNotWrittenOver) {
  EfiVariables variables(directory_);
  std::string order = absl::StrCat(directory_, "/BootOrder-", kEfiGlobalGuid);
  ASSERT_EQ(::mkdir(order.c_str(), 0700), 0);  // EISDIR, as firmware may answer EIO
  absl::Status status = PointBootEntriesTo({kLoader}, kEsp, variables);
  EXPECT_FALSE(status.ok());
  EXPECT_TRUE(variables.List("Boot0")->empty());
  ::rmdir(order.c_str());
  // One that is shorter than its attributes is none either.
  ASSERT_TRUE(ReplaceFile(order, "\7").ok());
  EXPECT_FALSE(PointBootEntriesTo({kLoader}, kEsp, variables).ok());
  EXPECT_EQ(*ReadFile(order, 64), "\7");
}

TEST_F(BootEntriesTest, GoneIsWhatNoDiskHasAndEachWasRead) {
  MakeImage(300 * kMiB);
  ASSERT_TRUE(FormatEmptyDisk(image_, Tools()).ok());
  std::string empty = directory_ + "/empty", uuid = FindPartition(*ProbeDisk(image_), kDataLabel)->uuid;
  ASSERT_TRUE(ReplaceFile(empty, std::string(4 << 20, '\0')).ok());
  EXPECT_FALSE(IsOnNoneOf({empty, image_}, uuid));
  EXPECT_FALSE(IsOnNoneOf({image_}, absl::AsciiStrToUpper(uuid)));
  EXPECT_TRUE(IsOnNoneOf({empty, image_}, kGone));
  EXPECT_TRUE(IsOnNoneOf({empty}, uuid));
  EXPECT_FALSE(IsOnNoneOf({empty, directory_ + "/broken"}, kGone)) << "one that cannot be read may have it";
  EXPECT_FALSE(IsOnNoneOf({}, kGone)) << "whoever sees no disk does not see its own";
}

TEST_F(BootEntriesTest, AFullStoreIsLeftAsItWas) {
  if (::mount("full", directory_.c_str(), "tmpfs", 0, "size=12k") != 0) GTEST_SKIP() << "needs root that may mount";
  EfiVariables variables(directory_);
  absl::Status status = PointBootEntriesTo({kLoader}, kEsp, variables);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(variables.List("Boot")->empty());
  ::umount2(directory_.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace stele::machined
