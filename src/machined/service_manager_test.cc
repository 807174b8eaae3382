// The service manager against a stand-in for init that keeps what a real one would: services, their
// desired state and their hashes. The real init is met in tests/node.
#include "machined/service_manager.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/fake_init.h"
#include "machined/runtime.h"

namespace stele::machined {
namespace {

using init_protocol::RunState;
using resource::v1::Service;

// One life of machined, as far as services go.
class Life : public InitListener {
 public:
  Life(FakeInit& init, std::function<std::vector<ServiceSpec>()> specs, std::string stopped_file,
       std::set<std::string>& not_ready)
      : client_(*loop_, init.Connect(*loop_), *this) {
    auto manager = std::make_unique<ServiceManager>(
        *loop_, client_,
        [specs](Node&) {
          return ServiceManager::Wanted{specs(), true, absl::OkStatus()};
        },
        [&not_ready](const ServiceSpec::Readiness& readiness, absl::Duration) {
          return not_ready.count(readiness.target) > 0 ? absl::UnavailableError("not yet") : absl::OkStatus();
        },
        std::move(stopped_file));
    manager_ = manager.get();
    std::vector<std::unique_ptr<Controller>> controllers;
    controllers.push_back(std::move(manager));
    runtime_.StartControllers(std::move(controllers));
    EXPECT_TRUE(client_.Start().ok());
  }

  void OnServiceState(const init_protocol::ServiceState& state, UniqueFd) override { manager_->OnServiceState(state); }
  void OnPhase(const init_protocol::Phase&) override {}
  void OnListed() override { manager_->OnListed(); }
  void OnLost(const absl::Status& why) override { ADD_FAILURE() << why; }

  void RunFor(absl::Duration time) {
    bool ended = false;
    loop_->After(time, [&ended] { ended = true; });
    while (!ended) ASSERT_TRUE(loop_->events().RunOnce(-1).ok());
  }
  std::string State(const std::string& name) {
    const Service* service = store_.Find<Service>(name);
    return service == nullptr ? "absent" : StateName(service->state());
  }
  ServiceManager& manager() { return *manager_; }
  Store& store() { return store_; }

 private:
  std::unique_ptr<OwnerLoop> loop_ = *OwnerLoop::Create();
  Store store_;
  EventLog events_{"/nonexistent/events"};
  Runtime runtime_{*loop_, store_, events_};
  InitClient client_;
  ServiceManager* manager_ = nullptr;
};

ServiceSpec Spec(const std::string& name, std::vector<std::string> after = {}) {
  ServiceSpec spec = {.name = name, .argv = {"/usr/bin/" + name}, .after = std::move(after)};
  spec.readiness = {.kind = ServiceSpec::Readiness::Kind::kPath, .target = name, .interval_ms = 20};
  return spec;
}

class ServiceManagerTest : public testing::Test {
 protected:
  ServiceManagerTest() { file_ = ::mkdtemp(path_) + std::string("/stopped"); }
  ~ServiceManagerTest() override {
    ::unlink(file_.c_str());
    ::rmdir(path_);
  }
  std::unique_ptr<Life> NewLife() {
    return std::make_unique<Life>(
        init_, [this] { return specs_; }, file_, not_ready_);
  }
  char path_[40] = "/tmp/service_manager_test.XXXXXX";
  std::string file_;
  FakeInit init_;
  std::vector<ServiceSpec> specs_ = {Spec("containerd"), Spec("kubelet", {"containerd"})};
  std::set<std::string> not_ready_;
};

using How = ServiceManager::How;
constexpr absl::Duration kWhile = absl::Milliseconds(150);

TEST_F(ServiceManagerTest, StartsInOrderOfNeedOnceReady) {
  not_ready_ = {"containerd"};
  auto life = NewLife();
  life->RunFor(kWhile);
  EXPECT_EQ(life->State("containerd"), "starting");
  EXPECT_EQ(life->State("kubelet"), "waiting");
  EXPECT_EQ(life->store().Find<Service>("kubelet")->message(), "waits for containerd");
  not_ready_.clear();
  life->RunFor(kWhile);
  EXPECT_EQ(life->State("containerd"), "running");
  EXPECT_EQ(life->State("kubelet"), "running");
  EXPECT_THAT(init_.requests,
              testing::ElementsAre("define containerd", "define kubelet", "start containerd", "start kubelet"));
}

TEST_F(ServiceManagerTest, ANewMachinedTouchesNothing) {
  NewLife()->RunFor(kWhile);
  init_.requests.clear();
  auto life = NewLife();
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::IsEmpty());
  EXPECT_EQ(life->State("kubelet"), "running");
  EXPECT_EQ(life->store().Find<Service>("kubelet")->pid(), init_.states["kubelet"].pid);
}

TEST_F(ServiceManagerTest, ADependencysEndLeavesTheDependentUp) {
  auto life = NewLife();
  life->RunFor(kWhile);
  init_.requests.clear();
  init_.Exit("containerd", RunState::kBackoff);
  life->RunFor(kWhile);
  EXPECT_EQ(life->State("containerd"), "backoff");
  EXPECT_EQ(life->State("kubelet"), "running");
  EXPECT_TRUE(init_.states["kubelet"].desired_up);
  EXPECT_THAT(init_.requests, testing::IsEmpty());
}

TEST_F(ServiceManagerTest, StoppedStaysStoppedAcrossARestartUntilStarted) {
  auto life = NewLife();
  life->RunFor(kWhile);
  absl::Status stopped = absl::UnknownError("no answer");
  life->manager().StopService("kubelet", How::kOrderly, absl::Seconds(1),
                              [&](const absl::Status& status) { stopped = status; });
  life->RunFor(kWhile);
  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_EQ(life->State("kubelet"), "stopped");
  life = NewLife();
  life->RunFor(kWhile);
  EXPECT_EQ(life->State("kubelet"), "stopped");
  absl::Status started = absl::UnknownError("no answer");
  life->manager().StartService("kubelet", absl::Seconds(1), [&](const absl::Status& status) { started = status; });
  life->RunFor(kWhile);
  EXPECT_TRUE(started.ok()) << started;
  EXPECT_EQ(life->State("kubelet"), "running");
}

// Stopped while it waits: init has never run it, and only the file knows.
TEST_F(ServiceManagerTest, StoppedBeforeItsFirstStartStaysSo) {
  not_ready_ = {"containerd"};
  auto life = NewLife();
  life->RunFor(kWhile);
  life->manager().StopService("kubelet", How::kOrderly, absl::Seconds(1),
                              [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  life->RunFor(kWhile);
  not_ready_.clear();
  life = NewLife();
  life->RunFor(kWhile);
  EXPECT_EQ(life->State("containerd"), "running");
  EXPECT_EQ(life->State("kubelet"), "stopped");
  EXPECT_EQ(init_.states["kubelet"].starts, 0u);
}

TEST_F(ServiceManagerTest, VerbsSayWhyNot) {
  not_ready_ = {"containerd"};
  auto life = NewLife();
  life->RunFor(kWhile);
  absl::Status status;
  auto keep = [&](const absl::Status& it) { status = it; };
  life->manager().StopService("unicorn", How::kOrderly, absl::Seconds(1), keep);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  specs_.push_back(Spec("apid"));
  life->manager().Wake();
  life->RunFor(kWhile);
  life->manager().StopService("apid", How::kOrderly, absl::Seconds(1), keep);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  life->manager().StartService("kubelet", absl::Milliseconds(50), keep);
  life->RunFor(kWhile);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("waits for containerd"));
}

TEST_F(ServiceManagerTest, RestartIsOneRestartAndAnswersWhenReady) {
  auto life = NewLife();
  life->RunFor(kWhile);
  init_.requests.clear();
  absl::Status restarted = absl::UnknownError("no answer");
  life->manager().RestartService("containerd", How::kOrderly, absl::Seconds(1),
                                 [&](const absl::Status& status) { restarted = status; });
  life->RunFor(kWhile);
  EXPECT_TRUE(restarted.ok()) << restarted;
  EXPECT_THAT(init_.requests, testing::ElementsAre("restart containerd"));
}

// By init, which then knows of the control group it killed; behind the restart, so that the end counts as wanted.
TEST_F(ServiceManagerTest, AForcedRestartKills) {
  specs_.push_back(Spec("apid"));
  auto life = NewLife();
  life->RunFor(kWhile);
  init_.requests.clear();
  absl::Status restarted = absl::UnknownError("no answer");
  life->manager().RestartService("apid", How::kForced, absl::Seconds(1),
                                 [&](const absl::Status& status) { restarted = status; });
  EXPECT_TRUE(restarted.ok()) << restarted;  // before: the answer travels through apid
  life->RunFor(absl::Milliseconds(500));
  EXPECT_THAT(init_.requests, testing::ElementsAre("kill apid"));
  life->manager().RestartService("containerd", How::kForced, absl::Seconds(1), [](const absl::Status&) {});
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::ElementsAre("kill apid", "restart containerd", "kill containerd"));
}

TEST_F(ServiceManagerTest, AnotherSpecIsDefinedAndRestartedOnce) {
  auto life = NewLife();
  life->RunFor(absl::Seconds(6));  // facts have settled
  init_.requests.clear();
  specs_[1].argv.push_back("--node-ip=192.0.2.1");
  life->manager().Wake();
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::ElementsAre("define kubelet", "restart kubelet"));
}

TEST_F(ServiceManagerTest, AFreshMachinedDoesNotRestartForFactsItLacks) {
  NewLife()->RunFor(kWhile);
  init_.requests.clear();
  specs_[1].argv.push_back("--hostname-override=not-yet-known");
  specs_.erase(specs_.begin());
  auto life = NewLife();
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::IsEmpty());
}

TEST_F(ServiceManagerTest, WhatTheConfigurationDropsIsStoppedAndForgotten) {
  auto life = NewLife();
  life->RunFor(absl::Seconds(16));
  init_.requests.clear();
  specs_.pop_back();
  life->manager().Wake();
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::ElementsAre("stop kubelet", "remove kubelet"));
  EXPECT_EQ(life->State("kubelet"), "absent");
}

TEST_F(ServiceManagerTest, WhenTheMachineEndsWhatIsDownIsLeftDown) {
  auto life = NewLife();
  life->RunFor(kWhile);
  init_.requests.clear();
  init_.ending = true;
  for (const char* name : {"kubelet", "containerd"}) {
    init_.states[name].desired_up = false;
    init_.Exit(name, RunState::kStopped);
    life->RunFor(kWhile);
  }
  EXPECT_THAT(init_.requests, testing::ElementsAre("start kubelet"));  // the first refusal says it
  EXPECT_EQ(life->store().Find<Service>("kubelet")->message(), "");
}

TEST_F(ServiceManagerTest, ARefusedSpecIsNotTriedForEver) {
  init_.refuse_define = true;
  auto life = NewLife();
  life->RunFor(kWhile);
  EXPECT_THAT(init_.requests, testing::ElementsAre("define containerd", "define kubelet"));
  EXPECT_THAT(life->store().Find<Service>("containerd")->message(), testing::HasSubstr("define containerd"));
}

}  // namespace
}  // namespace stele::machined
