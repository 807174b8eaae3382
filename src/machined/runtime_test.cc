#include "machined/runtime.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

// A controller whose Reconcile is the test's.
class Lambda : public Controller {
 public:
  Lambda(std::string name, std::vector<std::string> watches, std::function<absl::Status()> reconcile)
      : name_(std::move(name)), watches_(std::move(watches)), reconcile_(std::move(reconcile)) {}
  absl::string_view name() const override { return name_; }
  std::vector<std::string> watches() const override { return watches_; }
  absl::Status Reconcile() override { return reconcile_(); }

 private:
  std::string name_;
  std::vector<std::string> watches_;
  std::function<absl::Status()> reconcile_;
};

class RuntimeTest : public testing::Test {
 protected:
  void Start(std::string name, std::vector<std::string> watches, std::function<absl::Status()> reconcile) {
    controllers_.push_back(std::make_unique<Lambda>(std::move(name), std::move(watches), std::move(reconcile)));
  }
  void RunFor(absl::Duration time) {
    runtime_.StartControllers(std::move(controllers_));
    loop_->After(time, [this] { loop_->Stop(); });
    loop_->Run();
  }
  resource::v1::Mount MountAt(const std::string& target) {
    resource::v1::Mount mount;
    mount.set_target(target);
    return mount;
  }

  std::unique_ptr<OwnerLoop> loop_ = *OwnerLoop::Create();
  Store store_;
  EventLog events_{"/nonexistent/events"};
  Runtime runtime_{*loop_, store_, events_};
  std::vector<std::unique_ptr<Controller>> controllers_;
};

TEST_F(RuntimeTest, ManyChangesAreOneReconcile) {
  int writes = 0;
  int reads = 0;
  Start("writer", {}, [&] {
    ++writes;
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(store_.Put("writer", absl::StrCat(i), MountAt("/")).ok());
    return absl::OkStatus();
  });
  Start("reader", {"mounts"}, [&] {
    ++reads;
    return absl::OkStatus();
  });
  RunFor(absl::Milliseconds(50));
  EXPECT_EQ(writes, 1);
  EXPECT_LE(reads, 2);
}

TEST_F(RuntimeTest, OwnWritesDoNotWake) {
  int turns = 0;
  Start("writer", {"mounts"}, [&] { return store_.Put("writer", "1", MountAt(absl::StrCat(++turns))); });
  RunFor(absl::Milliseconds(30));
  EXPECT_EQ(turns, 1);
}

TEST_F(RuntimeTest, AnErrorIsTriedAgainAndToldOnce) {
  int turns = 0;
  Start("fails", {}, [&] { return ++turns < 3 ? absl::UnavailableError("no disk yet") : absl::OkStatus(); });
  RunFor(absl::Milliseconds(3500));  // tries at 0, 1 and 3 s
  EXPECT_EQ(turns, 3);
  std::vector<std::string> messages;
  for (const EventPtr& event : events_.After(0)) messages.push_back(event->message());
  EXPECT_THAT(messages, testing::ElementsAre("no disk yet", "works again"));
}

TEST_F(RuntimeTest, ANewConfigurationWakesAll) {
  std::vector<bool> configured;
  Start("reader", {}, [&] {
    configured.push_back(runtime_.config() != nullptr);
    return absl::OkStatus();
  });
  loop_->After(absl::Milliseconds(10), [&] { runtime_.SetConfig(std::make_shared<config::v1::MachineConfig>()); });
  RunFor(absl::Milliseconds(40));
  EXPECT_THAT(configured, testing::ElementsAre(false, true));
}

}  // namespace
}  // namespace stele::machined
