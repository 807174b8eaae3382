#include "machined/upgrade/upgrade_controller.h"

#include "machined/upgrade/controller_fixture.h"
#include "machined/upgrade/kexec.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace resource::v1;

class UpgradeControllerTest : public UpgradeNode {};

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST_F(UpgradeControllerTest, ActivatesAndReboots) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_EQ(*Activate(), "0.2.0");
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(reboots_, ElementsAre("upgrade to 0.2.0"));
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
  EXPECT_EQ(upgrades_->Ready().code(), Code::kUnavailable);
}

TEST_F(UpgradeControllerTest, NothingStagedIsNothingToActivate) {
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  EXPECT_EQ(Activate().status().code(), Code::kFailedPrecondition);
}

TEST_F(UpgradeControllerTest, APlanIsKeptAndCarriedOutByWhoeverRunsThen) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate({.at = absl::Now() + absl::Seconds(2)}).ok());
  RunUntil(UPGRADE_STATE_PLANNED);
  EXPECT_THAT(reboots_, ElementsAre());
  Stop();
  Start();
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
}

TEST_F(UpgradeControllerTest, DrainsFirst) {
  config_.mutable_upgrade()->set_drain_timeout(60);
  drain_ = {false, "pods default/web to leave"};
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_EQ(*Activate(), "0.2.0");
  RunUntil([this] { return !Shown().message().empty(); });
  EXPECT_EQ(Shown().state(), UPGRADE_STATE_DRAINING);
  EXPECT_EQ(Shown().message(), "waits for pods default/web to leave");
  EXPECT_TRUE(Shown().has_deadline());
  EXPECT_THAT(Message(Activate().status()), HasSubstr("is being drained"));
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi"));
  // A machined that was killed goes on with it.
  Stop();
  Start();
  RunUntil(UPGRADE_STATE_DRAINING);
  drain_ = {};
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
}

TEST_F(UpgradeControllerTest, WhatIsActivatedAlreadyIsNotDrainedFor) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate({.options = {.no_reboot = true}}).ok());
  RunUntil(UPGRADE_STATE_ACTIVATED);
  Stop();
  config_.mutable_upgrade()->set_drain_timeout(60);
  drain_ = {false, "pods default/web to leave"};
  Start();
  RunUntil(UPGRADE_STATE_ACTIVATED);
  EXPECT_TRUE(Activate().ok());
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
}

TEST_F(UpgradeControllerTest, ADrainEndsAtItsTime) {
  config_.mutable_upgrade()->set_drain_timeout(2);
  drain_ = {false, "pods default/web to leave"};
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  absl::Time began = absl::Now();
  EXPECT_TRUE(Activate().ok());
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_GT(absl::Now() - began, absl::Milliseconds(900));  // whole seconds
  EXPECT_LT(absl::Now() - began, absl::Seconds(6));
}

TEST_F(UpgradeControllerTest, ADrainMayBeCancelled) {
  config_.mutable_upgrade()->set_drain_timeout(60);
  drain_ = {false, "pods default/web to leave"};
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
  EXPECT_EQ(*Ask([this](auto done) { upgrades_->Cancel("a test", done); }), "0.2.0");
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_THAT(reboots_, ElementsAre());
}

TEST_F(UpgradeControllerTest, AnActivationThatFailsAfterTheDrainIsTold) {
  config_.mutable_upgrade()->set_drain_timeout(60);
  drain_ = {false, "pods default/web to leave"};
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
  WriteTestFile(node_->Uki("stele-2.new"), "rotten");
  drain_ = {};
  RunUntil([this] { return Shown().state() == UPGRADE_STATE_STAGED && !Shown().message().empty(); });
  EXPECT_THAT(Shown().message(), HasSubstr("not activated: "));
  EXPECT_THAT(reboots_, ElementsAre());
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi"));
}

// The answer is out, the rename is made, and machined is killed before it asked for the reboot.
TEST_F(UpgradeControllerTest, AnActivationGoesOnInTheNextMachined) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
  EXPECT_THAT(reboots_, ElementsAre());
  Stop();
  Start();
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(reboots_, ElementsAre("upgrade to 0.2.0"));
}

TEST_F(UpgradeControllerTest, WhatABootHasTriedSinceIsNotRebootedInto) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
  Stop();
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+2-1.efi"));
  Start();
  RunUntil(UPGRADE_STATE_ACTIVATED);
  absl::Time began = absl::Now();
  RunUntil([&] { return absl::Now() - began > absl::Seconds(1); });
  EXPECT_THAT(reboots_, ElementsAre());
  EXPECT_EQ(upgrades_->Ready(), absl::OkStatus());
}

// The record is on the disk, and the power goes before the rename.
TEST_F(UpgradeControllerTest, AnActivationThatWasCutBeforeTheRenameIsDoneAgain) {
  Stage();
  std::vector<std::string> passed_over;
  UpgradeRecord record = node_->Store().Load(&passed_over);
  record.set_state(UPGRADE_STATE_ACTIVATED);
  record.set_manual(true);
  ASSERT_TRUE(node_->Store().Save(record).ok());
  Start();
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+3.efi"));
  EXPECT_TRUE(node_->Store().Load(&passed_over).manual());
}

TEST_F(UpgradeControllerTest, AnActivationThatFailsLeavesTheRecordAsItWas) {
  before_the_rename_ = [this] { std::filesystem::remove(node_->Uki("stele-2.new")); };
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_FALSE(Activate().ok());
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_THAT(reboots_, ElementsAre());
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi"));
}

TEST_F(UpgradeControllerTest, APlannedActivationThatFailsIsGivenUpAndTold) {
  before_the_rename_ = [this] { std::filesystem::remove(node_->Uki("stele-2.new")); };
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate({.at = absl::Now() + absl::Seconds(1)}).ok());
  RunUntil([this] { return Shown().state() == UPGRADE_STATE_STAGED && !Shown().message().empty(); });
  EXPECT_THAT(Shown().message(), HasSubstr("not activated: "));
}

// The rename is made, and what follows it fails: the next boot tries the image, and the record knows.
TEST_F(UpgradeControllerTest, WhatFailsBehindTheRenameDoesNotUndoTheRecord) {
  config_.mutable_upgrade()->set_drain_timeout(60);
  drain_ = {false, "pods default/web to leave"};
  before_the_rename_ = [this] {  // a second name is there, and whoever renames says so
    std::filesystem::copy_file(node_->Uki("stele-2.new"), node_->Uki("stele-2+3.efi"));
  };
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
  drain_ = {};
  RunUntil([this] { return !reboots_.empty(); });
  std::vector<std::string> passed_over;
  EXPECT_EQ(node_->Store().Load(&passed_over).state(), UPGRADE_STATE_ACTIVATED);
}

TEST_F(UpgradeControllerTest, WithoutAConfigurationNothingIsActivated) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  runtime_->SetConfig(nullptr);
  EXPECT_THAT(Message(Activate().status()), HasSubstr("no configuration"));
}

TEST_F(UpgradeControllerTest, NothingIsTakenUpDuringATrial) {
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  WriteTestFile(folder_ + "/cmdline", "stele.trial=86000\n");
  config_.mutable_upgrade()->set_deadline(86000);
  WriteTestFile(node_->Uki("stele-2+2-1.efi"), MakeUki(ImageHash()));
  Start();
  RunUntil(UPGRADE_STATE_TRIAL);
  EXPECT_THAT(Message(upgrades_->BeginStaging().status()), HasSubstr("on trial"));
  EXPECT_EQ(upgrades_->Ready(), absl::OkStatus());
}

TEST_F(UpgradeControllerTest, ATrialIsKnownByItsNameWhereTheLoaderCouldNotTell) {
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  place_.entry.clear();
  place_.trial = false;
  WriteTestFile(node_->Uki("stele-2+2-1.efi"), MakeUki(ImageHash()));
  Start();
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(reboots_, ElementsAre("trial of 0.2.0 failed"));
}

TEST_F(UpgradeControllerTest, ATrialThatNeverGetsHealthyEndsWithAReason) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate({.options = {.no_reboot = true}}).ok());
  Stop();
  std::filesystem::rename(node_->Uki("stele-2+3.efi"), node_->Uki("stele-2+2-1.efi"));
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  Start();
  RunUntil([this] { return !reboots_.empty(); });
  EXPECT_THAT(reboots_, ElementsAre("trial of 0.2.0 failed"));
  std::vector<std::string> passed_over;
  EXPECT_THAT(node_->Store().Load(&passed_over).message(), HasSubstr("there was still to wait for"));
  EXPECT_FALSE(trial_ended_);
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+2-1.efi"));
}

TEST_F(UpgradeControllerTest, ARollbackOnTrialEndsTheTrialOfTheLoaderToo) {
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  WriteTestFile(node_->Uki("stele-2+2-1.efi"), MakeUki(ImageHash()));
  WriteTestFile(folder_ + "/cmdline", "stele.trial=2000000000\n");
  config_.mutable_upgrade()->set_deadline(1'000'000'000);
  Start();
  RunUntil(UPGRADE_STATE_TRIAL);
  EXPECT_TRUE(Ask([this](auto done) { upgrades_->Rollback("a test", /*validate_only=*/false, done); }).ok());
  EXPECT_EQ(loader_verdict_, LoaderVerdict::kFailed);
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2+0-3.efi"));
}

TEST_F(UpgradeControllerTest, ABlessingWhoseWordToInitWasCutIsDoneAgain) {
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  WriteTestFile(node_->Uki("stele-2.efi"), MakeUki(ImageHash()));
  Start();
  RunUntil([this] { return trial_ended_; });
  EXPECT_THAT(node_->Bootable(), ElementsAre("stele-1.efi", "stele-2.efi"));
  EXPECT_EQ(loader_verdict_, LoaderVerdict::kGood);
}

TEST_F(UpgradeControllerTest, ASecondNameThatACutBlessingLeftIsSetAside) {
  place_ = node_->PlaceOnTrial(ImageHash(), "stele-2+2-1.efi");
  place_.trial = false;  // the loader took the good name
  WriteTestFile(node_->Uki("stele-2+2-1.efi"), MakeUki(ImageHash()));
  WriteTestFile(node_->Uki("stele-2.efi"), MakeUki(ImageHash()));
  Start();
  RunUntil([this] { return node_->Bootable() == std::vector<std::string>{"stele-1.efi", "stele-2.efi"}; });
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2+2-1.twin", "stele-2.efi"));
  EXPECT_FALSE(trial_ended_);
}

TEST_F(UpgradeControllerTest, OneVerbAtATime) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_TRUE(upgrades_->BeginStaging().ok());
  EXPECT_EQ(upgrades_->BeginStaging().status().code(), Code::kResourceExhausted);
  EXPECT_EQ(Activate().status().code(), Code::kResourceExhausted);
}

TEST_F(UpgradeControllerTest, KexecOnlyIntoTheImageThatTheNextBootTakes) {
  Stage();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  auto kexec = [this] {
    return Message(Ask([this](auto done) { upgrades_->LoadForKexec(/*validate_only=*/true, done); }).status());
  };
  EXPECT_THAT(kexec(), HasSubstr("the manifest of the image in slot a is not known"));
  // The running image with its manifest: whole, then not.
  image_file::TestImage running = GoodImage("0.1.5", 9, key_);
  place_.running_root_hash = absl::BytesToHexString(running.manifest.verity().root_hash());
  WriteTestFile(node_->Uki("stele-1.efi"), running.parts[1]);
  ASSERT_TRUE(node_->Store().SaveManifest("a", running.HeaderBytes()).ok());
  Stop();
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_EQ(kexec(), "");
  WriteTestFile(node_->Uki("stele-1.efi"), running.parts[1] + "x");
  EXPECT_THAT(kexec(), HasSubstr("stele-1.efi"));
  WriteTestFile(node_->Uki("stele-1.efi"), running.parts[1]);
  EXPECT_TRUE(Activate({.options = {.no_reboot = true}}).ok());
  EXPECT_THAT(kexec(), HasSubstr("the next boot takes another image, stele-2+3.efi"));
}

TEST(MayKexec, NotOnTrialNorWhileDraining) {
  Survey survey;
  survey.running = BootEntry{.number = 1};
  survey.entries = {{*survey.running, "hash"}};
  EXPECT_TRUE(MayKexec(survey, false).ok());
  EXPECT_THAT(Message(MayKexec(survey, true)), HasSubstr("is on trial"));
  survey.record.set_state(UPGRADE_STATE_DRAINING);
  EXPECT_THAT(Message(MayKexec(survey, false)), HasSubstr("is being drained"));
  survey.running.reset();
  EXPECT_THAT(Message(MayKexec(survey, false)), HasSubstr("the ESP does not hold"));
}

}  // namespace
}  // namespace stele::machined
