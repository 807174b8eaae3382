// osctl upgrade and rollback against a fake node: what is sent, what is resumed, what is told.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <numeric>
#include <thread>

#include "absl/strings/str_join.h"
#include "image_file/test_image.h"
#include "osctl/fake_node.h"
#include "stele/resource/v1/upgrade.pb.h"

namespace stele::osctl {
namespace {

using image_file::TestImage;
using resource::v1::Slot;
using resource::v1::Upgrade;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class UpgradeTest : public FakeNodeTest {
 protected:
  void SetUp() override {
    FakeNodeTest::SetUp();
    image_ = TestImage::Make(5000, 700'000, 200).FileBytes();
    file_ = directory_.File("stele.img", image_);
  }

  FakeStaging& staging() { return node_->state().staging; }

  // With the lock held, or before anything runs.
  void SetUpgrade(resource::v1::UpgradeState state, const std::string& message = "",
                  const std::string& version = "0.2.0") {
    Upgrade upgrade;
    upgrade.set_state(state);
    upgrade.set_version(version);
    upgrade.set_from_version("0.1.0");
    upgrade.set_message(message);
    Put("upgrades", "current", upgrade);
  }

  // What the node shows after the activation, one for each look.
  void Then(std::vector<std::pair<resource::v1::UpgradeState, std::string>> states) {
    SetUpgrade(resource::v1::UPGRADE_STATE_STAGED);
    node_->state().on_activate = [this, states] {
      node_->state().boot_id = "boot-2";
      SetUpgrade(states[0].first, states[0].second);
      auto at = std::make_shared<size_t>(0);
      node_->state().on_get = [this, states, at] {
        size_t i = std::min((*at)++, states.size() - 1);
        SetUpgrade(states[i].first, states[i].second);
      };
      return grpc::Status::OK;
    };
  }
  void PutSlot(const std::string& id, const std::string& version, resource::v1::SlotState state, bool running,
               const std::string& message = "") {
    Slot slot;
    slot.set_version(version);
    slot.set_state(state);
    slot.set_running(running);
    slot.set_message(message);
    Put("slots", id, slot);
  }

  std::string image_;
  std::string file_;
};

TEST_F(UpgradeTest, StagesTheWholeFile) {
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(staging().disk == image_);
  EXPECT_THAT(staging().sent, ElementsAre(image_.size() - 4096));  // the header went first
  EXPECT_THAT(run.err, HasSubstr("staged 0.2.0 in slot b: "));
  EXPECT_THAT(run.err, Not(HasSubstr("\r")));  // no terminal, no progress
  EXPECT_EQ(run.out, "");
}

// Wherever the connection breaks, the next call sends exactly what the node lacks.
TEST_F(UpgradeTest, ResumesAfterEveryCut) {
  for (uint64_t cut : {uint64_t{4097},
                       uint64_t{9096},
                       uint64_t{12287},
                       uint64_t{12288},
                       uint64_t{12289},
                       uint64_t{77'823},
                       uint64_t{77'824},
                       uint64_t{77'825},
                       uint64_t{266'240},
                       uint64_t{300'000},
                       uint64_t{400'000},
                       uint64_t{500'000},
                       uint64_t{600'000},
                       uint64_t{712'288},
                       uint64_t{716'799},
                       uint64_t{720'000},
                       uint64_t{800'000},
                       uint64_t{900'000},
                       uint64_t{1'200'000},
                       static_cast<uint64_t>(image_.size()) - 1,
                       static_cast<uint64_t>(image_.size())}) {
    staging().disk.clear();
    staging().calls = 0;
    staging().offsets.clear();
    staging().sent.clear();
    staging().cuts = {cut};
    Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only"});
    ASSERT_EQ(run.code, 0) << cut << run.err;
    ASSERT_TRUE(staging().disk == image_) << cut;
    ASSERT_EQ(staging().calls, 2) << cut;
    EXPECT_LE(staging().offsets[1], cut);
    EXPECT_EQ(staging().sent[1], image_.size() - staging().offsets[1]) << cut;
  }
}

TEST_F(UpgradeTest, ResumesAgainAndAgain) {
  for (uint64_t cut = 100'000; cut < image_.size(); cut += 70'000) staging().cuts.insert(cut);
  int cuts = static_cast<int>(staging().cuts.size());
  staging().busy = 2;  // the node has not noticed yet that the first call is gone
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(staging().disk == image_);
  EXPECT_EQ(staging().calls, cuts + 1 + 2);
  EXPECT_EQ(staging().sent.back(), image_.size() - staging().offsets.back());
}

// A node that takes every call and always fails at the same byte is not borne for ever.
TEST_F(UpgradeTest, GivesUpWithoutProgress) {
  SetUpgrade(resource::v1::UPGRADE_STATE_STAGED);
  staging().cuts = {100'000};
  staging().busy = 1'000'000;
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only", "--timeout", "1s"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err, HasSubstr("upgrade: stage: gave up after 1"));
  EXPECT_THAT(run.err, HasSubstr("another call stages an image"));
}

TEST_F(UpgradeTest, ABusyNodeIsNotWaitedFor) {
  node_->state().answer = {grpc::StatusCode::RESOURCE_EXHAUSTED, "another call stages an image"};
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only"});
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(run.err, "osctl: " + address() + ": upgrade: stage: another call stages an image\n");
}

// The daemon is killed and comes back; the client bears it.
TEST_F(UpgradeTest, OutlivesTheDaemon) {
  staging().delay = absl::Milliseconds(100);
  int port = node_->port();
  std::thread killer([&] {
    while (true) {
      {
        std::lock_guard<std::mutex> lock(node_->state().mutex);
        if (staging().disk.size() > 300'000) break;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    std::string disk = staging().disk;
    node_.reset();
    node_ = std::make_unique<FakeNode>(*store().Load("demo"), *store().LoadCertificate(kClientAuthority), port);
    std::lock_guard<std::mutex> lock(node_->state().mutex);
    staging().disk = disk;
  });
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only", "--timeout", "20s"});
  killer.join();
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(staging().disk == image_);
}

// A client that dies costs nothing but time: the next one sends what is missing.
TEST_F(UpgradeTest, AKilledClientLeavesWhatItSent) {
  staging().delay = absl::Milliseconds(50);
  std::string config = "OSCTLCONFIG=" + keys() + "/osctl.yaml";
  const char* argv[] = {STELE_OSCTL, "upgrade", "--image", file_.c_str(), "--stage-only", nullptr};
  const char* envp[] = {config.c_str(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(::posix_spawn(&child, STELE_OSCTL, nullptr, nullptr, const_cast<char**>(argv), const_cast<char**>(envp)),
            0);
  for (int i = 0; i < 2000; ++i) {
    absl::SleepFor(absl::Milliseconds(5));
    std::lock_guard<std::mutex> lock(node_->state().mutex);
    if (staging().disk.size() > 300'000) break;
  }
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  while (staging().under_way) absl::SleepFor(absl::Milliseconds(5));  // the node takes one call at a time
  Outcome run = Osctl({"upgrade", "--image", file_, "--stage-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(staging().disk == image_);
  EXPECT_GT(staging().offsets[1], 200'000u);
  EXPECT_EQ(staging().sent[1], image_.size() - staging().offsets[1]);
  EXPECT_THAT(run.err, HasSubstr(" were there already"));
}

TEST_F(UpgradeTest, WhatTheNodeRefuses) {
  node_->state().answer = {grpc::StatusCode::PERMISSION_DENIED, "the image is not signed"};
  Outcome unsigned_image = Osctl({"upgrade", "--image", file_});
  EXPECT_EQ(unsigned_image.code, 1);
  EXPECT_THAT(unsigned_image.err, HasSubstr("upgrade: stage: the image is not signed; `osctl image inspect` shows"));
  node_->state().answer = {grpc::StatusCode::PERMISSION_DENIED,
                           "/x/StageImage needs the role operator, and the certificate's is reader"};
  EXPECT_EQ(Osctl({"upgrade", "--image", file_}).code, 5);
  node_->state().answer = {grpc::StatusCode::FAILED_PRECONDITION, "0.2.0 failed before: the kubelet was not healthy"};
  Outcome failed = Osctl({"upgrade", "--image", file_});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("0.2.0 failed before: the kubelet was not healthy\n"));
}

// The header is right, a byte of the body is not: only the node sees it.
TEST_F(UpgradeTest, ADamagedBodyIsNamed) {
  std::string damaged = image_;
  damaged[100'000] ^= 1;
  Outcome run = Osctl({"upgrade", "--image", directory_.File("bad.img", damaged), "--stage-only"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("part uki, chunk 1 at offset 77824"));
  EXPECT_THAT(run.err, HasSubstr("; check the file with `osctl image verify`\n"));
}

TEST_F(UpgradeTest, WrongFilesReachNoNode) {
  std::string garbage = directory_.File("garbage.img", "not an image");
  std::string shorter = directory_.File("short.img", image_.substr(0, 500'000));
  for (const std::string& path : {garbage, shorter, std::string("/nonexistent"), std::string("/")}) {
    Outcome run = Osctl({"upgrade", "--image", path});
    EXPECT_EQ(run.code, 8) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_THAT(run.err, HasSubstr(path));
  }
  EXPECT_THAT(Osctl({"upgrade", "--image", shorter}).err, HasSubstr("cut short in part uki: 500000 bytes of "));
  EXPECT_EQ(staging().calls, 0);
}

TEST_F(UpgradeTest, WaitsUntilItIsGood) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_ACTIVATED, ""},
        {UPGRADE_STATE_TRIAL, "waits for the kubelet"},
        {UPGRADE_STATE_TRIAL, ""},
        {UPGRADE_STATE_GOOD, ""}});
  Outcome run = Osctl({"upgrade", "--image", file_});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("activated 0.2.0; reboots\n0.2.0 runs on trial\n0.2.0 runs and is good, after "));
}

TEST_F(UpgradeTest, AFailureComesWithItsReason) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_TRIAL, ""}, {UPGRADE_STATE_FAILED, "phase services: kubelet: exit 1\nlast line of its log"}});
  Outcome run = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err,
              HasSubstr("activate: the upgrade to 0.2.0 failed; 0.1.0 runs again: phase services: kubelet: exit 1; "
                        "last line of its log; `osctl get slots` shows what is on the disk\n"));
}

TEST_F(UpgradeTest, ALostAnswerIsLookedUp) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_ACTIVATED, ""}, {UPGRADE_STATE_GOOD, ""}});
  auto activate = node_->state().on_activate;
  node_->state().on_activate = [activate] {
    (void)activate();
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "machined is restarting");
  };
  Outcome run = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(node_->state().calls, ElementsAre("activate "));  // once
}

// On a slow disk the node still reads the image back when the answer is given up.
TEST_F(UpgradeTest, ANodeThatIsStillAtWorkOnItIsNoFailure) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_ACTIVATED, ""}, {UPGRADE_STATE_GOOD, ""}});
  auto activate = node_->state().on_activate;
  auto calls = std::make_shared<int>(0);
  node_->state().on_activate = [activate, calls] {
    if (++*calls == 1) return grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded");
    if (*calls == 3) (void)activate();
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "another step of an upgrade is at work");
  };
  Outcome run = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(*calls, 3);
}

TEST_F(UpgradeTest, AnUpgradeOfSomebodyElsesIsWorthAFailure) {
  Then({{resource::v1::UPGRADE_STATE_ACTIVATED, ""}});
  node_->state().on_activate = [] {
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "another step of an upgrade is at work");
  };
  Outcome run = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("another step of an upgrade is at work"));
}

TEST_F(UpgradeTest, AnotherUpgradeInItsPlace) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_TRIAL, ""}});
  auto activate = node_->state().on_activate;
  node_->state().on_activate = [this, activate] {
    (void)activate();
    node_->state().on_get = [this] { SetUpgrade(UPGRADE_STATE_STAGED, "", "0.3.0"); };
    return grpc::Status::OK;
  };
  Outcome run = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("another upgrade took the place of 0.2.0: 0.3.0 is staged"));
}

TEST_F(UpgradeTest, PatienceEnds) {
  Then({{resource::v1::UPGRADE_STATE_TRIAL, ""}});
  Outcome run = Osctl({"upgrade", "--activate-only", "--wait-timeout", "1s"});
  EXPECT_EQ(run.code, 3);
  EXPECT_THAT(run.err,
              HasSubstr("not known to be good within 1s; the node goes on by itself: `osctl upgrade status --wait`"));
}

TEST_F(UpgradeTest, OptionsReachTheNode) {
  SetUpgrade(resource::v1::UPGRADE_STATE_STAGED);
  Osctl({"upgrade", "--image", file_, "--force", "--stage-only"});
  Outcome dry = Osctl({"upgrade", "--image", file_, "--dry-run"});
  EXPECT_THAT(dry.err, HasSubstr("would stage 0.2.0 in slot b and send 0B of "));
  EXPECT_THAT(Osctl({"upgrade", "--activate-only", "--dry-run"}).err, HasSubstr("would activate 0.2.0 and reboot\n"));
  Outcome at = Osctl({"upgrade", "--activate-only", "--at", "2999-01-01T00:00:00Z", "--confirm", "manual"});
  EXPECT_EQ(at.code, 0) << at.err;
  EXPECT_THAT(at.err, HasSubstr("0.2.0 will be activated at 2999-01-01T00:00:00Z; "));
  EXPECT_EQ(Osctl({"upgrade", "--activate-only", "--no-wait", "--confirm", "auto"}).code, 0);
  EXPECT_THAT(node_->state().calls, ElementsAre("stage force=1 validate_only=0", "stage force=0 validate_only=1",
                                                "activate validate_only: true",
                                                "activate at { seconds: 32472144000 } confirm: CONFIRM_MODE_MANUAL",
                                                "activate confirm: CONFIRM_MODE_AUTO"));
}

v1::FetchImageResponse Fetched(const std::string& step, uint64_t offset, const std::string& message = "") {
  v1::FetchImageResponse response;
  response.set_step(step);
  response.set_offset(offset);
  response.set_slot("b");
  response.set_message(message);
  if (step != "fetch") response.set_total(1000);
  if (step != "fetch") response.set_version("0.2.0");
  return response;
}

TEST_F(UpgradeTest, FromAUrlTheNodeFetchesAndWeLookOn) {
  using namespace resource::v1;
  node_->state().fetch = {Fetched("fetch", 0),     Fetched("check", 0),
                          Fetched("write", 100),   Fetched("write", 500, "BREAK"),
                          Fetched("write", 700),   Fetched("write", 700, "it broke; try 2 of 10 in 1s"),
                          Fetched("verify", 1000), Fetched("staged", 1000)};
  Then({{UPGRADE_STATE_ACTIVATED, ""}, {UPGRADE_STATE_GOOD, ""}});
  std::string ca = directory_.File("ca.pem", "a CA");
  Outcome run = Osctl({"upgrade", "--url", "https://host/a.img", "--ca", ca, "--force"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("the node waits: it broke; try 2 of 10 in 1s\nstaged 0.2.0 in slot b: "));
  EXPECT_THAT(run.err, HasSubstr("activated 0.2.0; reboots\n0.2.0 runs and is good, after "));
  std::string fetch = "fetch url: \"https://host/a.img\" ca: \"a CA\" force: true";
  EXPECT_THAT(node_->state().calls, ElementsAre(fetch, fetch, "activate "));
}

TEST_F(UpgradeTest, AFetchThatFails) {
  node_->state().fetch = {Fetched("fetch", 0)};
  node_->state().answer = {grpc::StatusCode::ABORTED,
                           "fetch http://host/a.img: nobody answers; given up after 10 tries"};
  Outcome run = Osctl({"upgrade", "--url", "http://host/a.img"});
  EXPECT_EQ(run.code, 1);
  EXPECT_THAT(run.err, HasSubstr("stage: fetch http://host/a.img: nobody answers"));
  node_->state().fetch = {Fetched("fetch", 0)};
  node_->state().answer = {grpc::StatusCode::PERMISSION_DENIED, "the certificate of 'host' is not trusted"};
  EXPECT_THAT(Osctl({"upgrade", "--url", "https://host/a.img"}).err, HasSubstr("--ca names the CA"));
  EXPECT_EQ(Osctl({"upgrade", "--url", "https://host/a.img", "--ca", "/nonexistent"}).code, 8);
}

TEST_F(UpgradeTest, WhatIsThereAlreadyIsNotFetched) {
  node_->state().fetch = {Fetched("fetch", 0), Fetched("write", 1000), Fetched("staged", 1000)};
  Outcome run = Osctl({"upgrade", "--url", "http://host/a.img", "--stage-only"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("staged 0.2.0 in slot b: all of it was there already\n"));
}

TEST_F(UpgradeTest, AFetchIsOnlyTriedOut) {
  node_->state().fetch = {Fetched("fetch", 0), Fetched("check", 0)};
  Outcome run = Osctl({"upgrade", "--url", "http://host/a.img", "--dry-run"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("would stage 0.2.0 in slot b from the URL"));
  EXPECT_THAT(node_->state().calls, ElementsAre("fetch url: \"http://host/a.img\" validate_only: true"));
}

TEST_F(UpgradeTest, ADrainIsWaitedForAndItsFailureTold) {
  using namespace resource::v1;
  Then({{UPGRADE_STATE_DRAINING, "waits for pods default/web to leave"},
        {UPGRADE_STATE_ACTIVATED, ""},
        {UPGRADE_STATE_GOOD, ""}});
  Outcome good = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_THAT(good.err, HasSubstr("the node is drained for 0.2.0: waits for pods default/web to leave"));
  SetUpgrade(UPGRADE_STATE_STAGED);
  Then({{UPGRADE_STATE_DRAINING, "waits"},
        {UPGRADE_STATE_DRAINING, "waits"},
        {UPGRADE_STATE_STAGED, "not activated: the UKI is rotten"}});
  Outcome failed = Osctl({"upgrade", "--activate-only"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("0.2.0 is staged, from 0.1.0: not activated: the UKI is rotten"));
}

TEST_F(UpgradeTest, WrongCommandLines) {
  const std::vector<std::vector<std::string>> all = {
      {"upgrade"},
      {"upgrade", "--image", file_, "--activate-only"},
      {"upgrade", "--activate-only", "--stage-only"},
      {"upgrade", "--image", file_, "--url", "http://host/"},
      {"upgrade", "--activate-only", "--url", "http://host/"},
      {"upgrade", "--image", file_, "--ca", file_},
      {"upgrade", "--activate-only", "--force"},
      {"upgrade", "--image", file_, "--stage-only", "--at", "+5m"},
      {"upgrade", "--image", file_, "--confirm", "maybe"},
      {"upgrade", "--image", file_, "--at", "5m"},
      {"upgrade", "--image", file_, "--at", "2020-01-01T00:00:00Z"},
      {"upgrade", "--image", file_, "--parallel", "0"},
      {"upgrade", "--image", file_, "status"},
      {"upgrade", "status", "--image", file_},
  };
  for (const auto& words : all) {
    Outcome run = Osctl(words);
    EXPECT_EQ(run.code, 2) << absl::StrJoin(words, " ") << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  }
  EXPECT_THAT(node_->state().calls, ElementsAre());
}

TEST_F(UpgradeTest, SeveralNodesAndTheFirstFailureStops) {
  std::unique_ptr<FakeNode> other = StartNode();
  std::string second = absl::StrCat("127.0.0.1:", other->port());
  Outcome both = Osctl({"-n", address() + "," + second, "upgrade", "--image", file_, "--stage-only"});
  EXPECT_EQ(both.code, 0) << both.err;
  EXPECT_THAT(both.err, HasSubstr(address() + ": staged 0.2.0"));
  EXPECT_THAT(both.err, HasSubstr(second + ": staged 0.2.0"));
  EXPECT_TRUE(other->state().staging.disk == image_);
  node_->state().answer = {grpc::StatusCode::FAILED_PRECONDITION, "on trial"};
  Outcome one = Osctl({"-n", address() + "," + second, "upgrade", "--image", file_, "--stage-only", "--parallel", "1"});
  EXPECT_EQ(one.code, 1);
  EXPECT_THAT(one.err, HasSubstr(second + ": upgrade: not begun, since another node failed\n"));
  EXPECT_EQ(other->state().staging.calls, 1);
}

TEST_F(UpgradeTest, ConfirmCancelAndStatus) {
  EXPECT_EQ(Osctl({"upgrade", "confirm"}).err, "confirmed 0.2.0\n");
  EXPECT_EQ(Osctl({"upgrade", "cancel"}).err, "dropped 0.2.0\n");
  SetUpgrade(resource::v1::UPGRADE_STATE_TRIAL, "waits for containerd");
  EXPECT_EQ(Osctl({"upgrade", "status"}).out, "0.2.0 is on trial, from 0.1.0: waits for containerd\n");
  SetUpgrade(resource::v1::UPGRADE_STATE_FAILED, "no kubelet");
  EXPECT_EQ(Osctl({"upgrade", "status"}).code, 0);
  EXPECT_EQ(Osctl({"upgrade", "status", "--wait"}).code, 1);
}

TEST_F(UpgradeTest, RollbackWaitsForTheSlot) {
  PutSlot("a", "0.1.0", resource::v1::SLOT_STATE_GOOD, true);
  PutSlot("b", "0.2.0", resource::v1::SLOT_STATE_FAILED, false);
  node_->state().on_activate = [this] {
    node_->state().boot_id = "boot-2";
    return grpc::Status::OK;
  };
  EXPECT_EQ(Osctl({"rollback", "--dry-run"}).err, "would go back to 0.1.0 and reboot\n");
  Outcome run = Osctl({"rollback"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("goes back to 0.1.0; reboots\n0.1.0 runs and is good, after "));
  PutSlot("a", "0.1.0", resource::v1::SLOT_STATE_FAILED, false, "containerd did not answer");
  PutSlot("b", "0.2.0", resource::v1::SLOT_STATE_GOOD, true);
  node_->state().boot_id = "boot-1";
  Outcome failed = Osctl({"rollback"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("0.2.0 runs, and not 0.1.0: containerd did not answer; `osctl get slots`"));
}

// The tables of the three new types, from the protos' options.
TEST_F(UpgradeTest, Tables) {
  PutSlot("a", "0.1.0", resource::v1::SLOT_STATE_GOOD, true);
  PutSlot("b", "0.2.0", resource::v1::SLOT_STATE_FAILED, false, "the kubelet was not healthy");
  EXPECT_EQ(Osctl({"get", "slots"}).out,
            "ID  VERSION  STATE   RUNS  NEXT  TRIES  FILE  MESSAGE\n"
            "a   0.1.0    Good    yes   no    0      -     -\n"
            "b   0.2.0    Failed  no    no    0      -     the kubelet was not healthy\n");
  SetUpgrade(resource::v1::UPGRADE_STATE_GOOD);
  EXPECT_THAT(Osctl({"get", "upgrade"}).out, HasSubstr("current  Good   0.2.0    0.1.0"));
  resource::v1::Boot boot;
  boot.set_end(resource::v1::BOOT_END_POWER_LOSS);
  boot.set_version("0.1.0");
  boot.set_slot("a");
  for (const char* id : {"9", "10"}) Put("boots", id, boot);
  EXPECT_EQ(Osctl({"get", "boots"}).out,
            "ID  STARTED  VERSION  SLOT  END         REASON\n"
            "9   -        0.1.0    a     Power loss  -\n"
            "10  -        0.1.0    a     Power loss  -\n");
}

}  // namespace
}  // namespace stele::osctl
