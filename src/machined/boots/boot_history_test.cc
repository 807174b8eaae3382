#include "machined/boots/boot_history.h"

#include <unistd.h>

#include "gmock/gmock.h"
#include "machined/boots/pstore.h"
#include "machined/storage_fixture.h"

namespace stele::machined {
namespace {

using resource::v1::Boot;

Boot Of(const std::string& id) {
  Boot boot;
  boot.set_boot_id(id);
  boot.set_version("0.1.0");
  return boot;
}

class BootHistoryTest : public StorageTest {
 protected:
  std::string File() { return directory_ + "/boots"; }
};

TEST_F(BootHistoryTest, EveryKindOfEnd) {
  struct Case {
    bool asked;
    EndEvidence evidence;
    resource::v1::BootEnd end;
    const char* reason;
  } cases[] = {
      {true, {}, resource::v1::BOOT_END_REBOOT, "asked by admin"},
      {true, {.watchdog_reset = true}, resource::v1::BOOT_END_REBOOT, "asked by admin"},
      {true,
       {.kernel_log = "[1.0] Kernel panic - not syncing: x\n"},
       resource::v1::BOOT_END_PANIC,
       "Kernel panic - not syncing: x; asked by admin"},
      {false, {}, resource::v1::BOOT_END_POWER_LOSS, "no word of an end: power loss, or a reset from outside"},
      {false, {.watchdog_reset = true}, resource::v1::BOOT_END_WATCHDOG, "the hardware watchdog was not fed"},
      {false,
       {.kernel_log = "a\n<0>[  1.2] BUG: unable\n", .watchdog_reset = true},
       resource::v1::BOOT_END_PANIC,
       "BUG: unable"},
      {false, {.kernel_log = "strange"}, resource::v1::BOOT_END_PANIC, "the kernel left a log of its end"},
  };
  for (const Case& c : cases) {
    BootHistory history;
    EXPECT_FALSE(history.Begin(Of("one"), {}).has_value());
    if (c.asked) history.End(resource::v1::BOOT_END_REBOOT, "asked by admin", 7);
    auto before = history.Begin(Of("two"), c.evidence);
    ASSERT_TRUE(before.has_value());
    EXPECT_EQ(before->end(), c.end);
    EXPECT_EQ(before->reason(), c.reason);
    EXPECT_EQ(history.boots().at(1).end(), c.end);
    EXPECT_EQ(history.boots().at(2).end(), resource::v1::BOOT_END_RUNNING);
  }
}

TEST_F(BootHistoryTest, AMachinedThatWasRestartedAddsNothing) {
  BootHistory history;
  history.Begin(Of("one"), {});
  EXPECT_FALSE(history.Begin(Of("one"), {.watchdog_reset = true}).has_value());
  EXPECT_EQ(history.boots().size(), 1u);
}

TEST_F(BootHistoryTest, KeepsTwentyOverTheFile) {
  for (int i = 1; i <= 25; ++i) {
    auto history = BootHistory::Load(File());
    ASSERT_TRUE(history.ok()) << history.status();
    history->Begin(Of(absl::StrCat("boot ", i)), {.kernel_log = std::string(60000, 'x')});
    ASSERT_TRUE(history->Save(File()).ok());
  }
  auto history = BootHistory::Load(File());
  ASSERT_EQ(history->boots().size(), BootHistory::kKept);
  EXPECT_EQ(history->boots().begin()->first, 6u);
  EXPECT_EQ(history->boots().begin()->second.kernel_log().size(), BootHistory::kMaxKernelLog);
  EXPECT_LT(ReadFile(File())->size(), 400'000u);
}

TEST_F(BootHistoryTest, ATornFileIsToldApartFromNone) {
  EXPECT_TRUE(BootHistory::Load(File()).ok());
  ASSERT_TRUE(ReplaceFile(File(), "\xff\xff\xff").ok());
  EXPECT_EQ(BootHistory::Load(File()).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(BootHistoryTest, ReadsAndErasesWhatTheKernelLeft) {
  EXPECT_EQ(ReadPstore(directory_ + "/none")->text, "");
  ASSERT_TRUE(ReplaceFile(directory_ + "/dmesg-efi-1002", "Panic#1 Part2\n<6>[  1.0] first\n").ok());
  ASSERT_TRUE(
      ReplaceFile(directory_ + "/dmesg-efi-1001", "Panic#1 Part1\n<0>[  2.0] Kernel panic - not syncing: sysrq\xff\n")
          .ok());
  ASSERT_TRUE(ReplaceFile(directory_ + "/console-ramoops-0", "not this").ok());
  auto records = ReadPstore(directory_);
  ASSERT_TRUE(records.ok());
  EXPECT_EQ(records->text,
            "Panic#1 Part2\n<6>[  1.0] first\nPanic#1 Part1\n<0>[  2.0] Kernel panic - not syncing: sysrq?\n");
  EXPECT_EQ(PanicLine(records->text), "Kernel panic - not syncing: sysrq?");
  ASSERT_TRUE(ErasePstore(*records).ok());
  EXPECT_EQ(ReadPstore(directory_)->text, "");
}

}  // namespace
}  // namespace stele::machined
