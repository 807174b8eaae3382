#include "base/boot_facts.h"

#include "gtest/gtest.h"

namespace stele {
namespace {

TEST(BootFacts, SurviveTheFile) {
  BootFacts facts = {.medium = BootMedium::kSlot,
                     .root_hash = std::string(64, 'a'),
                     .root_device = "/dev/vda2",
                     .trial = true,
                     .loader_partition = "57e1e000-0000-4000-8000-000000000001",
                     .entry = "\\EFI\\Linux\\stele-7+2-1.efi",
                     .medium_root = "/dev/loop0",
                     .medium_root_size = 80'000'000'000,
                     .watchdog_reset = true};
  absl::StatusOr<BootFacts> back = ParseBootFacts(FormatBootFacts(facts));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(FormatBootFacts(*back), FormatBootFacts(facts));
  EXPECT_EQ(back->medium, BootMedium::kSlot);
  EXPECT_TRUE(back->trial && back->watchdog_reset);
  EXPECT_EQ(back->entry, facts.entry);
  EXPECT_EQ(back->medium_root_size, 80'000'000'000u);
}

TEST(BootFacts, ReadsWhatIsThereAndRefusesWhatIsWrong) {
  absl::StatusOr<BootFacts> some = ParseBootFacts("medium=memory\nnew_key=x=y\nroot_device=/dev/loop0");
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_EQ(some->medium, BootMedium::kMemory);
  EXPECT_EQ(some->root_device, "/dev/loop0");
  EXPECT_FALSE(some->trial);
  EXPECT_TRUE(ParseBootFacts("").ok());
  for (const char* bad : {"medium", "medium=cd\n", "trial=yes\n", "medium_root_size=-1\n", "medium_root_size=1e9\n",
                          "medium_root_size=99999999999999999999\n"}) {
    EXPECT_EQ(ParseBootFacts(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(BootFacts, AFirmwaresTextStaysOnItsLine) {
  BootFacts facts = {.entry = "x\ntrial=1"};
  absl::StatusOr<BootFacts> back = ParseBootFacts(FormatBootFacts(facts));
  ASSERT_TRUE(back.ok());
  EXPECT_FALSE(back->trial);
  EXPECT_EQ(back->entry, "x?trial=1");
}

TEST(BootFacts, KnowsACountedEntry) {
  for (const char* counted :
       {"\\EFI\\Linux\\stele-7+3.efi", "\\EFI\\Linux\\stele-7+2-1.efi", "stele-7+0-3.EFI", "/a+b/c+1.efi"}) {
    EXPECT_TRUE(IsCountedEntry(counted)) << counted;
  }
  for (const char* good : {"", ".efi", "\\EFI\\Linux\\stele-7.efi", "stele-7+.efi", "stele-7+3", "stele-7+3-.efi",
                           "stele-7+x.efi", "a+3\\stele-7.efi", "stele+1-2-3.efi"}) {
    EXPECT_FALSE(IsCountedEntry(good)) << good;
  }
}

}  // namespace
}  // namespace stele
