// For tests: the controllers of upgrades on a node's disk of files (node_for_test.h), with the real store and loop.
// What they have others do is written down.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/runtime.h"
#include "machined/storage_layout.h"
#include "machined/upgrade/fetch_controller.h"
#include "machined/upgrade/node_for_test.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

class UpgradeNode : public testing::Test {
 protected:
  UpgradeNode() {
    folder_ = ::mkdtemp(name_);
    node_ = std::make_unique<NodeForTest>(folder_);
    node_->Make(key_);
    place_ = node_->Place();
    image_ = GoodImage("0.2.0", 7, key_);
    WriteTestFile(folder_ + "/image", image_.FileBytes());
    WriteTestFile(folder_ + "/cmdline", "stele.trial=31\n");  // over by now: so old is any machine
    // What fetches: the file that the URL's last part names, from the offset on.
    WriteTestFile(folder_ + "/fetch",
                  absl::StrCat("#!/bin/sh\nread URL\ntail -c +$(($1 + 1)) ", folder_, "/${URL##*/} || exit 8\n"));
    ::chmod((folder_ + "/fetch").c_str(), 0755);
  }
  ~UpgradeNode() override {
    Stop();
    std::filesystem::remove_all(folder_);
  }

  // A machined from its start until Stop; what is on the disk is all that a second one knows.
  void Start() {
    WriteTestFile(
        folder_ + "/boot",
        FormatBootFacts({.medium = BootMedium::kSlot, .root_hash = place_.running_root_hash, .trial = place_.trial}));
    loop_ = *OwnerLoop::Create();
    store_ = std::make_unique<Store>();
    runtime_ = std::make_unique<Runtime>(*loop_, *store_, events_);
    runtime_->SetConfig(std::make_shared<config::v1::MachineConfig>(config_));
    UpgradeController::Hands hands = {
        .reboot = [this](const std::string& reason) { reboots_.push_back(reason); },
        .end_trial =
            [this](auto done) {
              trial_ended_ = true;
              done(absl::OkStatus());
            },
        .log_tail = [](const std::string& service) { return service + " said this\n"; },
        .drain = [this](Node&) { return drain_; },
        .add_boot_entries =
            [this](const std::string&, const Partition&) {
              before_the_rename_();
              return absl::OkStatus();
            },
        .end_loader_trial =
            [this](LoaderVerdict verdict, const Partition&) {
              loader_verdict_ = verdict;
              return absl::OkStatus();
            },
    };
    UpgradeController::Options options = {
        .boot_facts = folder_ + "/boot",
        .state_folder = folder_ + "/state/upgrade",
        .keys = folder_ + "/keys",
        .command_line = folder_ + "/cmdline",
        .find_place = [this](const BootFacts&, const std::string&) { return place_; },
    };
    auto upgrades = std::make_unique<UpgradeController>(*loop_, hands, options);
    auto fetches = std::make_unique<FetchController>(
        *loop_, *upgrades, FetchController::Options{folder_ + "/fetch", folder_ + "/run/ca.pem"});
    upgrades_ = upgrades.get();
    fetches_ = fetches.get();
    std::vector<std::unique_ptr<Controller>> all;
    all.push_back(std::move(upgrades));
    all.push_back(std::move(fetches));
    runtime_->StartControllers(std::move(all));
    resource::v1::Volume state;
    state.set_ready(true);
    EXPECT_TRUE(store_->Put("test", kStateLabel, state).ok());
    EXPECT_TRUE(store_->Put("test", "clock", resource::v1::TimeStatus()).ok());
  }
  void Stop() {
    runtime_.reset();
    loop_.reset();
  }

  // Turns the loop until `done`, at most 20 s.
  void RunUntil(const std::function<bool()>& done) {
    absl::Time give_up = absl::Now() + absl::Seconds(20);
    while (!done() && absl::Now() < give_up) {
      bool turn = false;
      loop_->After(absl::Milliseconds(5), [&turn] { turn = true; });
      while (!turn) ASSERT_TRUE(loop_->events().RunOnce(-1).ok());
    }
    EXPECT_TRUE(done()) << Shown().ShortDebugString();
  }
  void RunUntil(resource::v1::UpgradeState state) {
    RunUntil(
        [this, state] { return Shown().state() == state && upgrades_->Ready().code() != Code::kResourceExhausted; });
  }
  using Code = absl::StatusCode;

  resource::v1::Upgrade Shown() {
    const auto* upgrade = store_->Find<resource::v1::Upgrade>("current");
    return upgrade == nullptr ? resource::v1::Upgrade() : *upgrade;
  }
  // A verb, and its answer.
  absl::StatusOr<std::string> Ask(const std::function<void(UpgradeController::Done)>& verb) {
    absl::StatusOr<std::string> answer = absl::UnknownError("no answer");
    bool answered = false;
    verb([&](const absl::StatusOr<std::string>& got) {
      answer = got;
      answered = true;
    });
    RunUntil([&] { return answered; });
    return answer;
  }
  absl::StatusOr<std::string> Activate(UpgradeController::Activation activation = {}) {
    activation.options.asked_by = "a test";
    return Ask([&](auto done) { upgrades_->Activate(activation, done); });
  }
  void Stage() {
    NodeForTest::Upload upload;
    ASSERT_TRUE(node_->Stage(node_->Place(), image_.HeaderBytes(), image_.FileBytes(), upload).ok());
  }
  std::string ImageHash() const { return absl::BytesToHexString(image_.manifest.verity().root_hash()); }

  char name_[32] = "/tmp/stele-upgrade-XXXXXX";
  std::string folder_;
  image_file::TestKey key_ = image_file::TestKey::Ed25519();
  image_file::TestImage image_;
  std::unique_ptr<NodeForTest> node_;
  UpgradePlace place_;
  config::v1::MachineConfig config_;
  DrainCheck drain_;
  std::function<void()> before_the_rename_ = [] {};  // on a worker
  std::vector<std::string> reboots_;
  bool trial_ended_ = false;
  std::optional<LoaderVerdict> loader_verdict_;
  EventLog events_{"/nonexistent/events"};
  std::unique_ptr<OwnerLoop> loop_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Runtime> runtime_;
  UpgradeController* upgrades_ = nullptr;
  FetchController* fetches_ = nullptr;
};

}  // namespace stele::machined
