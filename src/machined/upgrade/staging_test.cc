#include "machined/upgrade/staging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machined/upgrade/node_for_test.h"
#include "machined/upgrade/survey.h"

namespace stele::machined {
namespace {

using image_file::TestImage;
using image_file::TestKey;
using testing::ElementsAre;
using testing::HasSubstr;

class StagingTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/staging.XXXXXX";
    node_ = std::make_unique<NodeForTest>(::mkdtemp(pattern.data()));
    node_->Make(key_);
  }
  void TearDown() override { std::filesystem::remove_all(node_->folder()); }
  absl::Status Stage(const TestImage& image, NodeForTest::Upload upload = {}) {
    absl::Status status = node_->Stage(node_->Place(), image.HeaderBytes(), image.FileBytes(), upload);
    started_at_ = upload.started_at;
    return status;
  }
  UpgradeRecord Record() {
    std::vector<std::string> passed_over;
    return node_->Store().Load(&passed_over);
  }
  static absl::Status NoEntries(const std::string&) { return absl::OkStatus(); }
  absl::Status Activate() {
    return ActivateStaged(
        node_->Place(), node_->Store(), NoEntries, {.asked_by = "a test"}, [] { return absl::OkStatus(); }, &warnings_);
  }
  static std::string HashOf(const TestImage& image) {
    return absl::BytesToHexString(image.manifest.verity().root_hash());
  }

  TestKey key_ = TestKey::Ed25519();
  std::unique_ptr<NodeForTest> node_;
  uint64_t started_at_ = 0;
  std::vector<std::string> warnings_;
};

TEST_F(StagingTest, AnImageGoesToTheOtherSlotUnderANameThatNothingBoots) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  std::vector<std::string> steps;
  ASSERT_EQ(Stage(image, {.begins = [&](const char* step) { steps.push_back(step); }}), absl::OkStatus());
  EXPECT_THAT(steps, ElementsAre("check", "prepare", "write", "verify"));
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.new"));
  EXPECT_EQ(ReadTestFile(node_->Uki("stele-2.new")), image.parts[1]);
  EXPECT_EQ(ReadTestFile(node_->folder() + "/b").substr(0, image.parts[2].size()), image.parts[2]);
  EXPECT_EQ(ReadTestFile(node_->folder() + "/a"), std::string(kTestSlotSize, 'a'));
  EXPECT_EQ(Record().state(), resource::v1::UPGRADE_STATE_STAGED);
  // Again: nothing is left to send.
  ASSERT_EQ(Stage(image), absl::OkStatus());
  EXPECT_EQ(started_at_, image.FileBytes().size());
}

TEST_F(StagingTest, ACutUploadGoesOnWhereItsLastWholeChunkEnds) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  std::string file = image.FileBytes();
  uint64_t last = 0;
  for (size_t end : {size_t{5000}, size_t{90'000}, size_t{160'000}, size_t{400'000}, file.size() - 1}) {
    absl::Status status = Stage(image, {.ends_at = end});
    EXPECT_TRUE(absl::IsAborted(status)) << status;
    EXPECT_GE(started_at_, last);
    last = started_at_;
    EXPECT_EQ(node_->Bootable(), std::vector<std::string>{"stele-1.efi"});
    EXPECT_TRUE(absl::IsFailedPrecondition(Activate())) << "half an image is not activated";
  }
  ASSERT_EQ(Stage(image), absl::OkStatus());
  EXPECT_GT(started_at_, 300'000u);
}

// The root's first bytes are on the disk while its last arrive: what the disk then makes of them is found.
TEST_F(StagingTest, ADiskThatDoesNotKeepWhatWasWrittenIsFound) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  const std::string file = image.FileBytes();
  uint64_t root = file.size() - image_file::Padded(image.parts[2].size());
  bool spoiled = false;
  auto spoil = [&](uint64_t at) {
    if (at < root + 250'000 || std::exchange(spoiled, true)) return absl::OkStatus();
    std::fstream slot(node_->folder() + "/b", std::ios::binary | std::ios::in | std::ios::out);
    slot.seekp(70'000);
    slot.put(static_cast<char>(image.parts[2][70'000] ^ 1));
    return absl::OkStatus();
  };
  absl::Status status = Stage(image, {.next = spoil});
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("read back"));
  EXPECT_TRUE(spoiled);
  EXPECT_TRUE(absl::IsFailedPrecondition(Activate()));
  // The next call mends it.
  ASSERT_EQ(Stage(image), absl::OkStatus());
  EXPECT_LT(started_at_, file.size());
  ASSERT_EQ(Activate(), absl::OkStatus());
}

TEST_F(StagingTest, AnotherImageTakesThePlaceOfWhatWasStaged) {
  ASSERT_EQ(Stage(GoodImage("0.2.0", 7, key_)), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
  TestImage other = GoodImage("0.3.0", 9, key_);
  ASSERT_EQ(Stage(other), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-3.new"));
  EXPECT_EQ(Record().version(), "0.3.0");
}

TEST_F(StagingTest, ActivatedBlessedAndBackAgain) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  EXPECT_TRUE(warnings_.empty()) << warnings_[0];
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+2-1.efi"));  // the loader
  UpgradePlace trial = node_->PlaceOnTrial(HashOf(image), "stele-2+2-1.efi");
  NodeForTest::Upload upload;
  TestImage next = GoodImage("0.3.0", 8, key_);
  EXPECT_TRUE(absl::IsFailedPrecondition(node_->Stage(trial, next.HeaderBytes(), next.FileBytes(), upload)))
      << "on trial";
  std::optional<LoaderVerdict> verdict;
  auto end = [&verdict](LoaderVerdict given) {
    verdict = given;
    return absl::UnavailableError("the firmware is away");
  };
  ASSERT_EQ(BlessRunning(trial, node_->Store(), &warnings_, end), absl::OkStatus());
  EXPECT_EQ(verdict, LoaderVerdict::kGood);
  EXPECT_THAT(std::exchange(warnings_, {}), ElementsAre("boot loader: the firmware is away"));
  ASSERT_EQ(BlessRunning(trial, node_->Store(), &warnings_), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.efi"));
  EXPECT_EQ(Record().state(), resource::v1::UPGRADE_STATE_GOOD);
  // Slot a's image was never described by a manifest: it is not gone back to blindly.
  auto go = [] { return absl::OkStatus(); };
  EXPECT_TRUE(absl::IsFailedPrecondition(ActivateOther(trial, node_->Store(), {}, false, go).status()));
  // The other way round: from a, b's image is known.
  absl::StatusOr<std::string> version = ActivateOther(node_->Place(), node_->Store(), {}, true, go);
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.efi")) << "validate_only";
  ASSERT_TRUE(ActivateOther(node_->Place(), node_->Store(), {}, false, go).ok());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-3+3.efi"));
}

// The UKI of the image that runs is lost or rotten: the other image is all that boots, and stays.
TEST_F(StagingTest, TheOnlyImageThatBootsIsNotTakenAway) {
  TestImage running = GoodImage("0.1.5", 5, key_);
  const std::string other(64, '2');
  UpgradePlace place = node_->Place();
  place.running_root_hash = HashOf(running);
  ASSERT_TRUE(node_->Store().SaveManifest("a", running.HeaderBytes()).ok());
  TestImage next = GoodImage("0.2.0", 7, key_);
  auto staged = [&] {
    NodeForTest::Upload upload;
    return node_->Stage(place, next.HeaderBytes(), next.FileBytes(), upload);
  };
  auto refused = [&](const char* why) {
    absl::Status status = staged();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << why;
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("may not boot again")) << why;
    EXPECT_TRUE(std::filesystem::exists(node_->Uki("stele-2.efi"))) << why;
  };
  WriteTestFile(node_->Uki("stele-2.efi"), MakeUki(other));
  std::filesystem::remove(node_->Uki("stele-1.efi"));
  refused("it is not there");
  std::string rotten = running.parts[1];
  rotten[rotten.size() / 2] ^= 1;
  WriteTestFile(node_->Uki("stele-1.efi"), rotten);
  refused("a bit of it has turned");
  std::filesystem::remove(node_->Uki("stele-1.efi"));
  WriteTestFile(node_->Uki("stele-1+2-1.efi"), running.parts[1]);
  refused("nobody has found it good");
  std::filesystem::rename(node_->Uki("stele-1+2-1.efi"), node_->Uki("stele-1.efi"));
  EXPECT_EQ(staged(), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-3.new"));
}

// There is nothing to lose: a node whose own UKI is gone and that has no other may be helped.
TEST_F(StagingTest, ANodeThatNothingBootsAnyMoreTakesAnImage) {
  std::filesystem::remove(node_->Uki("stele-1.efi"));
  EXPECT_EQ(Stage(GoodImage("0.2.0", 7, key_)), absl::OkStatus());
}

TEST_F(StagingTest, ASecondNameOfAnImageThatFailedIsInNobodysWay) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  // A power cut while the loader counted.
  ASSERT_EQ(::link(node_->Uki("stele-2+3.efi").c_str(), node_->Uki("stele-2+2-1.efi").c_str()), 0);
  TestImage next = GoodImage("0.3.0", 9, key_);
  ASSERT_EQ(Stage(next), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+2-1.twin", "stele-2+3.twin", "stele-3.new"));
  ASSERT_EQ(Activate(), absl::OkStatus());
  EXPECT_EQ(node_->Bootable(), (std::vector<std::string>{"stele-1.efi", "stele-3+3.efi"}));
  EXPECT_EQ(ReadTestFile(node_->Uki("stele-2+3.twin")), image.parts[1]);
}

// A power cut in the activation's rename leaves `.new` beside `+3`, one file; then the trial failed.
TEST_F(StagingTest, ACutActivationThatFailedIsStagedAnew) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+0-3.efi"));
  ASSERT_EQ(::link(node_->Uki("stele-2+0-3.efi").c_str(), node_->Uki("stele-2.new").c_str()), 0);
  for (int again = 0; again < 2; ++again) {
    ASSERT_EQ(Stage(image, {.force = true}), absl::OkStatus());
    EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+0-3.twin", "stele-2.twin", "stele-3.new"));
  }
  ASSERT_EQ(Activate(), absl::OkStatus());
  EXPECT_EQ(node_->Bootable(), (std::vector<std::string>{"stele-1.efi", "stele-3+3.efi"}));
  EXPECT_EQ(ReadTestFile(node_->Uki("stele-2.twin")), image.parts[1]);
}

TEST_F(StagingTest, ACutActivationCanBeCancelled) {
  // Twice: what was set aside the first time has the names that the second would take, since its number is free again.
  for (const char* aside : {"stele-2.twin", "stele-2.twin2"}) {
    ASSERT_EQ(Stage(GoodImage("0.2.0", 7, key_)), absl::OkStatus());
    ASSERT_EQ(Activate(), absl::OkStatus());
    ASSERT_EQ(::link(node_->Uki("stele-2+3.efi").c_str(), node_->Uki("stele-2.new").c_str()), 0);
    EXPECT_EQ(DropStaged(node_->Place(), node_->Store(), "a test").value_or(""), "0.2.0");
    EXPECT_EQ(node_->Bootable(), std::vector<std::string>{"stele-1.efi"});
    EXPECT_TRUE(std::filesystem::exists(node_->Uki(aside)));
    EXPECT_EQ(Record().state(), resource::v1::UPGRADE_STATE_CANCELLED);
  }
  EXPECT_EQ(node_->Ukis().size(), 5u);
}

TEST_F(StagingTest, ACutActivationIsCarriedThrough) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  ASSERT_EQ(::link(node_->Uki("stele-2+3.efi").c_str(), node_->Uki("stele-2.new").c_str()), 0);
  ASSERT_EQ(Activate(), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+3.efi", "stele-2.twin"));
}

TEST_F(StagingTest, ALoaderWhosePublishingWasCutIsInNobodysWay) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  std::string stem = absl::StrCat(node_->folder(), "/esp/EFI/systemd/boot-",
                                  absl::BytesToHexString(image_file::Sha256Of(image.parts[0]).substr(0, 4)));
  ASSERT_EQ(::link((stem + ".efi").c_str(), (stem + ".new").c_str()), 0);
  ASSERT_EQ(Stage(GoodImage("0.3.0", 9, key_)), absl::OkStatus()) << "another loader";
  EXPECT_EQ(ReadTestFile(stem + ".efi"), image.parts[0]);
  EXPECT_FALSE(std::filesystem::exists(stem + ".new"));
  // The same one again, damaged since under both names.
  std::filesystem::rename(stem + ".twin", stem + ".new");
  WriteTestFile(stem + ".efi", "damaged");
  ASSERT_EQ(Stage(image), absl::OkStatus());
  EXPECT_EQ(ReadTestFile(stem + ".new"), image.parts[0]);
  EXPECT_EQ(ReadTestFile(stem + ".efi"), "damaged");
}

TEST_F(StagingTest, AUkiThatWasCutIsNeverTakenForTheRunningOneAndGoes) {
  ASSERT_EQ(Stage(GoodImage("0.2.0", 7, key_)), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+0-3.efi"));
  std::filesystem::resize_file(node_->Uki("stele-2+0-3.efi"), 600);
  // The image before runs, and the firmware still has what the loader counted last.
  UpgradePlace place = node_->Place();
  place.entry = "\\EFI\\Linux\\stele-2+0-3.efi";
  place.trial = true;
  ASSERT_EQ(BlessRunning(place, node_->Store(), &warnings_), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+0-3.efi"));
  absl::StatusOr<Survey> survey = TakeSurvey(place, node_->Store());
  ASSERT_TRUE(survey.ok()) << survey.status();
  auto slots = SlotsOf(node_->Place(), *survey);
  EXPECT_EQ(slots["b"].state(), resource::v1::SLOT_STATE_FAILED);
  EXPECT_EQ(slots["b"].version(), "0.2.0");
  ASSERT_EQ(Stage(GoodImage("0.3.0", 9, key_)), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-3.new"));
}

TEST_F(StagingTest, AnImageThatFailedIsRefusedUntilForced) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  ASSERT_EQ(Activate(), absl::OkStatus());
  UpgradePlace trial = node_->PlaceOnTrial(HashOf(image), "stele-2+2-1.efi");
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+2-1.efi"));
  ASSERT_EQ(FailRunning(trial, node_->Store(), "kubelet was never healthy"), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+0-3.efi"));
  absl::Status refused = Stage(image);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_THAT(std::string(refused.message()), HasSubstr("kubelet was never healthy"));
  EXPECT_EQ(Stage(image, {.force = true}), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-3.new"));
}

TEST_F(StagingTest, VersionsFollowEachOther) {
  TestImage image = GoodImage("0.3.0", 7, key_);
  image.manifest.set_minimum_version("0.2.0");
  EXPECT_TRUE(absl::IsFailedPrecondition(Stage(image)));
  EXPECT_EQ(Stage(image, {.force = true, .validate_only = true}), absl::OkStatus());
  // The image that runs may not be followed by one older than its own minimum.
  TestImage own = GoodImage("0.1.5", 3, key_);
  own.manifest.set_minimum_version("0.1.2");
  ASSERT_EQ(node_->Store().SaveManifest("a", own.HeaderBytes()), absl::OkStatus());
  TestImage old = GoodImage("0.1.1", 8, key_);
  EXPECT_TRUE(absl::IsFailedPrecondition(Stage(old)));
  EXPECT_EQ(Stage(GoodImage("0.1.2", 8, key_)), absl::OkStatus());
  EXPECT_EQ(Stage(old, {.force = true}), absl::OkStatus());
}

TEST_F(StagingTest, CheckingOnlyWritesNothing) {
  EXPECT_EQ(Stage(GoodImage("0.2.0", 7, key_), {.validate_only = true}), absl::OkStatus());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi"));
  EXPECT_EQ(Record().state(), resource::v1::UPGRADE_STATE_NONE);
  EXPECT_FALSE(std::filesystem::exists(node_->folder() + "/state"));
}

TEST_F(StagingTest, WhatIsStagedCanBeDropped) {
  auto drop = [&] { return DropStaged(node_->Place(), node_->Store(), "a test"); };
  EXPECT_TRUE(absl::IsFailedPrecondition(drop().status()));
  ASSERT_EQ(Stage(GoodImage("0.2.0", 7, key_)), absl::OkStatus());
  EXPECT_EQ(drop().value_or(""), "0.2.0");
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi"));
  EXPECT_EQ(Record().state(), resource::v1::UPGRADE_STATE_CANCELLED);
}

TEST_F(StagingTest, ANewLoaderGetsItsOwnNameAndEntries) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  std::string name = absl::StrCat("boot-", absl::BytesToHexString(image_file::Sha256Of(image.parts[0]).substr(0, 4)));
  std::string path = node_->folder() + "/esp/EFI/systemd/" + name;
  EXPECT_EQ(ReadTestFile(path + ".new"), image.parts[0]);
  std::string told;
  auto entries = [&told](const std::string& loader) {
    told = loader;
    return absl::ResourceExhaustedError("no room in the firmware");
  };
  auto go = [] { return absl::OkStatus(); };
  ASSERT_EQ(ActivateStaged(node_->Place(), node_->Store(), entries, {}, go, &warnings_), absl::OkStatus());
  EXPECT_EQ(told, "\\EFI\\systemd\\" + name + ".efi");
  ASSERT_EQ(warnings_.size(), 1u);
  EXPECT_EQ(ReadTestFile(path + ".efi"), image.parts[0]);
  // The next image with the same loader writes none; the entries that are missing are asked for again.
  TestImage next = GoodImage("0.3.0", 9, key_);
  std::vector<std::string> parts = std::exchange(next.parts, {});
  next.manifest.clear_parts();
  next.Add(image::v1::PART_KIND_LOADER, image.parts[0]);
  next.Add(image::v1::PART_KIND_UKI, parts[1]);
  next.Add(image::v1::PART_KIND_ROOT, parts[2]);
  ASSERT_EQ(Stage(next), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  told.clear();
  ASSERT_EQ(ActivateStaged(node_->Place(), node_->Store(), entries, {}, go, &warnings_), absl::OkStatus());
  EXPECT_EQ(told, "\\EFI\\systemd\\" + name + ".efi");
}

TEST_F(StagingTest, WhatChangedOnTheDiskIsNotActivated) {
  TestImage image = GoodImage("0.2.0", 7, key_);
  ASSERT_EQ(Stage(image), absl::OkStatus());
  std::string slot = ReadTestFile(node_->folder() + "/b");
  slot[70'000] ^= 1;
  WriteTestFile(node_->folder() + "/b", slot);
  EXPECT_TRUE(absl::IsDataLoss(Activate()));
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.new"));
  ASSERT_EQ(Stage(image), absl::OkStatus()) << "the broken chunk is sent again";
  EXPECT_EQ(Activate(), absl::OkStatus());
}

TEST(UpgradeStore, DamagedAndForeignFilesArePassedOver) {
  std::string pattern = testing::TempDir() + "/store.XXXXXX";
  std::string folder = ::mkdtemp(pattern.data());
  UpgradeStore store(folder);
  std::vector<std::string> passed_over;
  EXPECT_EQ(store.Load(&passed_over).state(), resource::v1::UPGRADE_STATE_NONE);
  EXPECT_TRUE(passed_over.empty());
  UpgradeRecord record;
  record.set_state(resource::v1::UPGRADE_STATE_STAGED);
  record.set_version("0.2.0");
  record.set_message(std::string(100'000, 'x') + "\xff");
  ASSERT_EQ(store.Save(record), absl::OkStatus());
  EXPECT_EQ(store.Load(&passed_over).version(), "0.2.0");
  EXPECT_EQ(store.Load(&passed_over).message().size(), 8192u);
  std::string whole = ReadTestFile(folder + "/current");
  for (size_t size = 0; size < whole.size(); size += 101) {
    WriteTestFile(folder + "/current", whole.substr(0, size));
    passed_over.clear();
    EXPECT_EQ(store.Load(&passed_over).state(), resource::v1::UPGRADE_STATE_NONE) << size;
    EXPECT_EQ(passed_over.size(), 1u);
  }
  WriteTestFile(folder + "/a.manifest", "something else");
  EXPECT_FALSE(store.Manifest("a", &passed_over).has_value());
  for (int i = 0; i < 40; ++i) {
    FailedImage failure;
    failure.set_root_hash(absl::StrCat("hash ", i % 30));
    failure.set_reason(absl::StrCat("try ", i));
    ASSERT_EQ(store.AddFailure(failure), absl::OkStatus());
  }
  std::vector<FailedImage> failures = store.Failures(&passed_over);
  ASSERT_EQ(failures.size(), 16u);
  EXPECT_EQ(failures.back().reason(), "try 39");
  ASSERT_EQ(store.ForgetFailure("hash 9"), absl::OkStatus());
  EXPECT_EQ(store.Failures(&passed_over).size(), 15u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace stele::machined
