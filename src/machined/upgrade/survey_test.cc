#include "machined/upgrade/survey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "machined/upgrade/excerpt.h"

namespace stele::machined {
namespace {

using Kind = BootEntry::Kind;
using testing::HasSubstr;

const std::string kOld(64, '1'), kNew(64, '2');

// Slot a runs the old image; the new one is in slot b, with this UKI.
struct World {
  UpgradePlace place;
  Survey survey;
  explicit World(BootEntry other) {
    place.running_slot = "a";
    place.other_slot = "b";
    place.running_root_hash = kOld;
    place.running_version = "0.1.0";
    survey.entries = {{{1, Kind::kGood}, kOld}, {other, kNew}};
    survey.running = BootEntry{1, Kind::kGood};
    survey.images["b"] = {"0.2.0", "build", kNew};
    survey.record.set_state(resource::v1::UPGRADE_STATE_ACTIVATED);
    survey.record.set_version("0.2.0");
    survey.record.set_slot("b");
    survey.record.set_number(2);
    survey.record.set_root_hash(absl::HexStringToBytes(kNew));
  }
  // Slot b runs, as a trial.
  void BootOther() {
    std::swap(place.running_slot, place.other_slot);
    place.running_root_hash = kNew;
    place.running_version = "0.2.0";
    place.trial = true;
    survey.running = survey.entries[1].entry;
  }
};

TEST(Survey, SlotsAreWhatTheDiskSays) {
  World world({2, Kind::kCounted, 3});
  auto slots = SlotsOf(world.place, world.survey);
  EXPECT_EQ(slots["a"].state(), resource::v1::SLOT_STATE_GOOD);
  EXPECT_TRUE(slots["a"].running());
  EXPECT_FALSE(slots["a"].next());
  EXPECT_EQ(slots["b"].state(), resource::v1::SLOT_STATE_TRIAL);
  EXPECT_TRUE(slots["b"].next());
  EXPECT_EQ(slots["b"].tries_left(), 3u);
  EXPECT_EQ(slots["b"].version(), "0.2.0");
  EXPECT_EQ(slots["b"].file(), "stele-2+3.efi");
  world.survey.entries.pop_back();
  slots = SlotsOf(world.place, world.survey);
  EXPECT_EQ(slots["b"].state(), resource::v1::SLOT_STATE_EMPTY);
  EXPECT_EQ(slots["b"].version(), "");
  world.survey.entries.push_back({{2, Kind::kWritten}, ""});
  world.survey.record.set_state(resource::v1::UPGRADE_STATE_STAGING);
  EXPECT_EQ(SlotsOf(world.place, world.survey)["b"].state(), resource::v1::SLOT_STATE_STAGING);
  world.survey.record.set_state(resource::v1::UPGRADE_STATE_STAGED);
  EXPECT_EQ(SlotsOf(world.place, world.survey)["b"].state(), resource::v1::SLOT_STATE_STAGED);
}

TEST(Survey, AnUpgradeEndsAsItsUkiDid) {
  struct Case {
    BootEntry entry;
    resource::v1::UpgradeState state;
  };
  for (const Case& c : {Case{{2, Kind::kCounted, 3}, resource::v1::UPGRADE_STATE_ACTIVATED},
                        Case{{2, Kind::kCounted, 1, 2}, resource::v1::UPGRADE_STATE_ACTIVATED},
                        Case{{2, Kind::kCounted, 0, 3}, resource::v1::UPGRADE_STATE_FAILED},
                        Case{{2, Kind::kWritten}, resource::v1::UPGRADE_STATE_PLANNED},
                        Case{{7, Kind::kGood}, resource::v1::UPGRADE_STATE_CANCELLED}}) {
    World world(c.entry);
    Settled settled = SettleRecord(world.place, world.survey, absl::FromUnixSeconds(1000));
    EXPECT_EQ(settled.record.state(), c.state) << FileName(c.entry);
    EXPECT_EQ(settled.failure.has_value(), c.state == resource::v1::UPGRADE_STATE_FAILED);
    EXPECT_EQ(settled.changed, c.state != resource::v1::UPGRADE_STATE_ACTIVATED);
  }
}

TEST(Survey, AFallbackTellsWhyOrThatNobodySaid) {
  World world({2, Kind::kCounted, 0, 3});
  EXPECT_THAT(SettleRecord(world.place, world.survey, absl::Now()).event, HasSubstr("without a word"));
  world.survey.record.set_message("kubelet (exited with 1)");
  Settled settled = SettleRecord(world.place, world.survey, absl::Now());
  EXPECT_THAT(settled.event, HasSubstr("0.2.0 failed, 0.1.0 runs again: kubelet (exited with 1)"));
  EXPECT_EQ(settled.failure->reason(), "kubelet (exited with 1)");
}

TEST(Survey, AFallbackTellsWhatInitOrTheWatchdogLeft) {
  World world({2, Kind::kCounted, 0, 3});
  auto event = [&world] { return SettleRecord(world.place, world.survey, absl::Now()).event; };
  world.place.watchdog_reset = true;
  EXPECT_THAT(event(), HasSubstr("hardware watchdog"));
  world.survey.last_words = {kNew, "\\EFI\\Linux\\stele-2+0-3.efi", "machined ended 10 times; its log:\na token\nfail"};
  EXPECT_THAT(event(), testing::EndsWith("runs again: machined ended 10 times; its log:\nfail"));
  world.survey.last_words->text = "machined never connected";
  EXPECT_THAT(event(), testing::EndsWith("runs again: machined never connected"));
  // Those of another image, and of another upgrade to this one.
  world.survey.last_words->entry = "\\EFI\\Linux\\stele-1+0-3.efi";
  EXPECT_THAT(event(), HasSubstr("hardware watchdog"));
  world.survey.last_words = {kOld, "\\EFI\\Linux\\stele-2+0-3.efi", "machined ended 10 times"};
  EXPECT_THAT(event(), HasSubstr("hardware watchdog"));
  // What machined said itself counts more.
  world.survey.last_words->root_hash = kNew;
  world.survey.record.set_message("after 600s there was still to wait for kubelet");
  EXPECT_THAT(event(), HasSubstr("wait for kubelet"));
}

TEST(Survey, ATrialIsOneUntilItsUkiIsBlessed) {
  World world({2, Kind::kCounted, 2, 1});
  world.BootOther();
  EXPECT_EQ(SettleRecord(world.place, world.survey, absl::Now()).record.state(), resource::v1::UPGRADE_STATE_TRIAL);
  EXPECT_EQ(SlotsOf(world.place, world.survey)["b"].state(), resource::v1::SLOT_STATE_TRIAL);
  world.survey.running = BootEntry{2, Kind::kGood};
  EXPECT_EQ(SettleRecord(world.place, world.survey, absl::Now()).record.state(), resource::v1::UPGRADE_STATE_GOOD);
}

TEST(Place, IsOnTheDiskThatTheRootIsOn) {
  DiskContents disk;
  disk.partitions = {{.label = kEspLabel, .uuid = "u1", .device = "/dev/vda1"},
                     {.label = kRootALabel, .device = "/dev/vda2"},
                     {.label = kRootBLabel, .device = "/dev/vda3"}};
  BootFacts facts = {
      .medium = BootMedium::kSlot, .root_hash = kOld, .root_device = "/dev/vda3", .loader_partition = "u1"};
  absl::StatusOr<UpgradePlace> place = PlaceOn(facts, disk, "/esp");
  ASSERT_TRUE(place.ok()) << place.status();
  EXPECT_EQ(place->running_slot, "b");
  EXPECT_EQ(place->other_device, "/dev/vda2");
  facts.loader_partition = "a twin's";
  EXPECT_TRUE(absl::IsFailedPrecondition(PlaceOn(facts, disk, "/esp").status()));
  facts.loader_partition = "";
  EXPECT_TRUE(PlaceOn(facts, disk, "/esp").ok());
  facts.medium = BootMedium::kMemory;
  EXPECT_THAT(std::string(PlaceOn(facts, disk, "/esp").status().message()),
              HasSubstr("runs from memory; install it first"));
}

TEST(Excerpt, IsBoundedAndTellsNoSecrets) {
  std::string log = "first\nbootstrap token abcdef.0123456789abcdef\nAuthorization: x\n";
  for (int i = 0; i < 10; ++i) log += absl::StrCat("line ", i, std::string(500, 'x'), "\n");
  std::string excerpt = Excerpt(log);
  EXPECT_LE(excerpt.size(), 5u * 201);
  EXPECT_THAT(excerpt, HasSubstr("line 9"));
  EXPECT_EQ(Excerpt("a token\n\x1b[31mred"), "?[31mred");
}

}  // namespace
}  // namespace stele::machined
