#include "machined/upgrade/fetch_controller.h"

#include "machined/upgrade/controller_fixture.h"

namespace stele::machined {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using namespace resource::v1;

class FetchControllerTest : public UpgradeNode {
 protected:
  image::v1::FetchRecord Record(const std::string& file = "image") {
    image::v1::FetchRecord record;
    record.set_url("http://host/" + file);
    record.set_asked_by("a test");
    SetTime(absl::Now(), *record.mutable_since());
    return record;
  }
  // Begins or looks on; what came is in `last_` and `ends_`.
  void Fetch(const image::v1::FetchRecord& record, bool validate_only = false) {
    fetches_->Fetch(record, validate_only,
                    {.progress = [this](const machine::v1::FetchImageResponse& response) { last_ = response; },
                     .done = [this](const absl::Status& status) { ends_.push_back(status); }});
  }
  bool RecordIsKept() { return std::filesystem::exists(folder_ + "/state/upgrade/fetch"); }
  // The URL `slow` brings the header, and the rest once `file` is there.
  void MakeSlow() {
    WriteTestFile(
        folder_ + "/fetch",
        absl::StrCat("#!/bin/sh\nread URL\nif [ $1 = 0 ]; then head -c 20000 ", folder_, "/image; fi\nwhile [ ! -e ",
                     folder_, "/go ]; do sleep 0.05; done\n[ $1 = 0 ] || tail -c +$(($1 + 1)) ", folder_, "/image\n"));
  }

  machine::v1::FetchImageResponse last_;
  std::vector<absl::Status> ends_;
};

TEST_F(FetchControllerTest, FetchesAndStages) {
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record());
  RunUntil([this] { return !ends_.empty(); });
  EXPECT_TRUE(ends_[0].ok()) << ends_[0];
  EXPECT_EQ(last_.step(), "staged");
  EXPECT_EQ(last_.version(), "0.2.0");
  EXPECT_EQ(last_.slot(), "b");
  EXPECT_EQ(last_.offset(), last_.total());
  EXPECT_FALSE(RecordIsKept());
  EXPECT_EQ(Shown().state(), UPGRADE_STATE_STAGED);
  EXPECT_TRUE(Activate().ok());
}

TEST_F(FetchControllerTest, ADryRunWritesNothing) {
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record(), /*validate_only=*/true);
  RunUntil([this] { return !ends_.empty(); });
  EXPECT_TRUE(ends_[0].ok()) << ends_[0];
  EXPECT_EQ(last_.step(), "check");
  EXPECT_EQ(last_.version(), "0.2.0");
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/state/upgrade"));
}

TEST_F(FetchControllerTest, FailuresAreToldAndForgotten) {
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record("missing?token=secret"));
  RunUntil([this] { return !ends_.empty(); });
  EXPECT_FALSE(ends_[0].ok());
  EXPECT_THAT(std::string(ends_[0].message()), HasSubstr("fetch http://host/missing: "));
  EXPECT_FALSE(RecordIsKept());
}

TEST_F(FetchControllerTest, OneAtATimeAndASecondCallLooksOn) {
  MakeSlow();
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record());
  RunUntil([this] { return last_.step() == "write"; });
  EXPECT_TRUE(RecordIsKept());
  EXPECT_EQ(Shown().state(), UPGRADE_STATE_STAGING);
  EXPECT_EQ(Shown().message(), "fetches http://host/image");
  Fetch(Record("another"));
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0].code(), Code::kResourceExhausted);
  EXPECT_EQ(upgrades_->BeginStaging().status().code(), Code::kResourceExhausted);
  Fetch(Record());
  WriteTestFile(folder_ + "/go", "");
  RunUntil([this] { return ends_.size() == 3; });
  EXPECT_TRUE(ends_[1].ok() && ends_[2].ok()) << ends_[1] << ends_[2];
}

TEST_F(FetchControllerTest, AKilledMachinedGoesOn) {
  MakeSlow();
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record());
  RunUntil([this] { return last_.step() == "write"; });
  // As it is on the disk in this moment; what goes on of the first one is not looked at.
  std::filesystem::copy(folder_ + "/state", folder_ + "/then", std::filesystem::copy_options::recursive);
  EXPECT_TRUE(fetches_->Cancel("a test", [](const std::string&) {}));
  RunUntil([this] { return !ends_.empty(); });
  Stop();
  std::filesystem::remove_all(folder_ + "/state");
  std::filesystem::rename(folder_ + "/then", folder_ + "/state");
  WriteTestFile(folder_ + "/go", "");
  Start();
  RunUntil(UPGRADE_STATE_STAGED);
  EXPECT_FALSE(RecordIsKept());
  EXPECT_THAT(node_->Ukis(), ElementsAre("stele-1.efi", "stele-2.new"));
}

// It does not die, it ends in order: what is fetched is none the less for the next one to go on with.
TEST_F(FetchControllerTest, AMachinedThatEndsLeavesItToTheNext) {
  MakeSlow();
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record());
  RunUntil([this] { return last_.step() == "write"; });
  Stop();
  EXPECT_TRUE(RecordIsKept());
}

TEST_F(FetchControllerTest, WhoAsksForOtherwiseIsNotTakenForAFollower) {
  MakeSlow();
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  Fetch(Record());
  RunUntil([this] { return last_.step() == "write"; });
  image::v1::FetchRecord forced = Record();
  forced.set_force(true);
  Fetch(forced);
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_THAT(std::string(ends_[0].message()), HasSubstr("asked for otherwise"));
}

TEST_F(FetchControllerTest, WhatWasStagedMeanwhileIsNotFetchedAgain) {
  ASSERT_TRUE(node_->Store().SaveFetch(Record()).ok());
  Stage();  // and the power went before the record did
  MakeSlow();
  Start();
  RunUntil([this] { return !RecordIsKept(); });
  EXPECT_EQ(Shown().state(), UPGRADE_STATE_STAGED);
}

TEST_F(FetchControllerTest, CancelEndsIt) {
  MakeSlow();
  Start();
  RunUntil(UPGRADE_STATE_NONE);
  EXPECT_FALSE(fetches_->Cancel("a test", [](const std::string&) {}));
  Fetch(Record());
  RunUntil([this] { return last_.step() == "write"; });
  std::string version;
  EXPECT_TRUE(fetches_->Cancel("a test", [&](const std::string& about) { version = about; }));
  RunUntil([&] { return !version.empty(); });
  EXPECT_EQ(version, "0.2.0");
  ASSERT_EQ(ends_.size(), 1u);
  EXPECT_EQ(ends_[0].code(), Code::kCancelled);
  EXPECT_FALSE(RecordIsKept());
  EXPECT_TRUE(upgrades_->Ready().ok());
  EXPECT_EQ(*Ask([this](auto done) { upgrades_->Cancel("a test", done); }), "0.2.0");
}

}  // namespace
}  // namespace stele::machined
