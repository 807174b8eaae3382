// The life of a node's configuration over boots, with a loop device as its disk.
#include "machined/config_controller.h"

#include <future>
#include <thread>

#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "config/machine_config_check.h"
#include "config/test_pem.h"
#include "gmock/gmock.h"
#include "machined/runtime.h"
#include "machined/storage_fixture.h"

namespace stele::machined {
namespace {

std::string Yaml(const std::string& hostname, const std::string& disk) {
  auto line = [](const char* pem) { return absl::StrCat("\"", absl::StrReplaceAll(pem, {{"\n", "\\n"}}), "\""); };
  return absl::StrCat("apiVersion: stele.dev/v1\nkind: MachineConfig\napi:\n  clientCA: ", line(config::test_pem::kCa),
                      "\n  certificate: ", line(config::test_pem::kServer),
                      "\n  key: ", line(config::test_pem::kServerKey), "\nnetwork: {hostname: ", hostname, "}\n",
                      disk.empty() ? "" : absl::StrCat("storage: {disk: ", disk, "}\n"));
}

// One life of machined, as far as the configuration goes. Its owner thread is a thread of its own.
class Life {
 public:
  explicit Life(ConfigController::Options options) {
    auto controller = std::make_unique<ConfigController>(
        *loop_, [](Node&) { return services::Facts{}; }, std::move(options));
    controller_ = controller.get();
    controllers_.push_back(std::move(controller));
    owner_ = std::thread([this] {
      runtime_.StartControllers(std::move(controllers_));
      loop_->Run();
    });
  }
  ~Life() {
    loop_->Stop();
    owner_.join();
  }

  // What `look` answers on the owner thread.
  template <typename T>
  T On(std::function<T()> look) {
    std::promise<T> promise;
    loop_->Post([&] { promise.set_value(look()); });
    return promise.get_future().get();
  }
  // Whether the condition comes to hold within 20 s.
  bool Comes(std::function<bool()> condition) {
    for (absl::Time deadline = absl::Now() + absl::Seconds(20); absl::Now() < deadline;
         absl::SleepFor(absl::Milliseconds(5))) {
      if (On<bool>(condition)) return true;
    }
    return false;
  }
  bool DataComes() {
    return Comes([this] { return runtime_.data_ready(); });
  }
  bool IsDataReady() {
    return On<bool>([this] { return runtime_.data_ready(); });
  }
  bool HostnameComes(const std::string& name) {
    return Comes([this, name] { return Hostname() == name; });
  }
  bool VolumeSays(const std::string& label, const std::string& message) {
    return Comes([this, label, message] {
      const auto* volume = store_.Find<resource::v1::Volume>(label);
      return volume != nullptr && volume->message() == message;
    });
  }
  std::string hostname() {
    return On<std::string>([this] { return Hostname(); });
  }
  std::string source() {
    return On<std::string>(
        [this] { return absl::StrCat(controller_->running().source, "/", controller_->running().number); });
  }
  absl::StatusOr<ConfigController::Applied> Apply(const std::string& yaml, ConfigController::Mode mode,
                                                  absl::Duration try_timeout = absl::Seconds(60)) {
    std::promise<absl::StatusOr<ConfigController::Applied>> promise;
    loop_->Post([&] {
      ConfigController::Wish wish = {yaml, config::ParseMachineConfig(yaml).config, mode, "a test", try_timeout};
      controller_->Apply(std::move(wish), [&](auto applied) { promise.set_value(std::move(applied)); });
    });
    return promise.get_future().get();
  }
  absl::StatusOr<ConfigController::Applied> Confirm(uint64_t generation) {
    std::promise<absl::StatusOr<ConfigController::Applied>> promise;
    loop_->Post([&] {
      controller_->Confirm(generation, "a test", [&](auto applied) { promise.set_value(std::move(applied)); });
    });
    return promise.get_future().get();
  }
  absl::StatusOr<ConfigController::Applied> Revert(uint64_t generation) {
    std::promise<absl::StatusOr<ConfigController::Applied>> promise;
    loop_->Post([&] {
      controller_->Revert(generation, "a test", [&](auto applied) { promise.set_value(std::move(applied)); });
    });
    return promise.get_future().get();
  }
  bool Event(const std::string& text) {
    return Comes([this, text] {
      for (const EventPtr& event : events_.After(0)) {
        if (event->message().find(text) != std::string::npos) return true;
      }
      return false;
    });
  }
  // As if it were healthy, or not.
  void SetApid(bool ready) {
    On<bool>([this, ready] {
      resource::v1::Service apid;
      apid.set_ready(ready);
      return store_.Put("test", "apid", apid).ok();
    });
  }

 private:
  std::string Hostname() const {
    return runtime_.config() == nullptr ? "none" : runtime_.config()->network().hostname();
  }

  std::unique_ptr<OwnerLoop> loop_ = *OwnerLoop::Create();
  Store store_;
  EventLog events_{"/nonexistent/events"};
  Runtime runtime_{*loop_, store_, events_};
  std::vector<std::unique_ptr<Controller>> controllers_;
  ConfigController* controller_ = nullptr;
  std::thread owner_;
};

class ConfigControllerTest : public LoopTest {
 protected:
  // Everything of a node below the test's root.
  ConfigController::Options Options(const std::string& boot_id) {
    ConfigController::Options options = {.storage = options_, .boot_id = boot_id};
    options.storage.loader_partition = directory_ + "/none";
    options.storage.disk_wait = absl::Milliseconds(100);
    options.sources = {options_.root + "/run/stele/state/config", options_.root + "/run/stele/config",
                       directory_ + "/fw_cfg", directory_ + "/image.yaml"};
    return options;
  }
};

TEST_F(ConfigControllerTest, FromTheSeedOverAppliesAndBoots) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/fw_cfg", Yaml("seed", loop_)).ok());
  {
    Life life(Options("boot-1"));
    ASSERT_TRUE(life.DataComes());
    EXPECT_EQ(life.hostname(), "seed");
    EXPECT_EQ(life.source(), "fw_cfg/0");
    auto applied = life.Apply(Yaml("applied", loop_), ConfigController::Mode::kNow);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_EQ(applied->generation, 1u);
    EXPECT_THAT(PlanLines(applied->plan), testing::ElementsAre("set the host name applied", "restart kubelet"));
    EXPECT_TRUE(life.HostnameComes("applied"));
    applied = life.Apply(Yaml("staged", loop_), ConfigController::Mode::kNextBoot);
    ASSERT_TRUE(applied.ok()) << applied.status();
    EXPECT_EQ(life.hostname(), "applied");
  }
  {
    Life life(Options("boot-1"));  // machined was killed
    ASSERT_TRUE(life.DataComes());
    EXPECT_EQ(life.hostname(), "applied");
    EXPECT_EQ(life.source(), "state/1");
  }
  Unmount();
  {
    Life life(Options("boot-2"));
    ASSERT_TRUE(life.DataComes());
    EXPECT_EQ(life.hostname(), "staged");
    EXPECT_EQ(life.source(), "state/2");
  }
}

TEST_F(ConfigControllerTest, WithoutADiskItLivesInMemory) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/image.yaml", Yaml("image", "")).ok());
  {
    Life life(Options("boot-1"));
    ASSERT_TRUE(life.DataComes());
    EXPECT_EQ(life.source(), "image/0");
    EXPECT_TRUE(life.VolumeSays(kDataLabel, "in memory: lost at reboot"));
    EXPECT_EQ(life.Apply(Yaml("later", ""), ConfigController::Mode::kNextBoot).status().code(),
              absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE(life.Apply(Yaml("now", ""), ConfigController::Mode::kNow).ok());
  }
  Life life(Options("boot-1"));
  ASSERT_TRUE(life.DataComes());
  EXPECT_EQ(life.hostname(), "now");
}

TEST_F(ConfigControllerTest, ATrialStaysWhenConfirmed) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/image.yaml", Yaml("image", "")).ok());
  using Mode = ConfigController::Mode;
  {
    Life life(Options("boot-1"));
    ASSERT_TRUE(life.DataComes());
    auto tried = life.Apply(Yaml("tried", ""), Mode::kTry);
    ASSERT_TRUE(tried.ok()) << tried.status();
    EXPECT_EQ(tried->generation, 1u);
    EXPECT_LT(tried->deadline, absl::Now() + absl::Seconds(61));
    EXPECT_TRUE(life.HostnameComes("tried"));
    for (Mode mode : {Mode::kNow, Mode::kTry}) {
      absl::Status refused = life.Apply(Yaml("other", ""), mode).status();
      EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("generation 1 is on trial for another "));
    }
    EXPECT_EQ(life.Confirm(2).status().message(), "generation 1 is on trial, not 2");
  }
  Life life(Options("boot-1"));  // machined was killed: it is still on trial
  ASSERT_TRUE(life.DataComes());
  EXPECT_EQ(life.hostname(), "tried");
  ASSERT_TRUE(life.Confirm(1).ok());
  EXPECT_EQ(life.Confirm(1).status().message(), "no configuration is on trial");
  auto applied = life.Apply(Yaml("later", ""), Mode::kNow);
  ASSERT_TRUE(applied.ok()) << applied.status();
  EXPECT_EQ(applied->generation, 2u);
  EXPECT_TRUE(life.HostnameComes("later"));
  EXPECT_EQ(life.Revert(0).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(life.Revert(9).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(life.Revert(2).status().message(), "generation 2 runs already");
  auto again = life.Revert(1);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->generation, 3u);
  EXPECT_TRUE(life.HostnameComes("tried"));
}

TEST_F(ConfigControllerTest, ATrialEnds) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/image.yaml", Yaml("image", "")).ok());
  using Mode = ConfigController::Mode;
  {
    Life life(Options("boot-1"));
    ASSERT_TRUE(life.DataComes());
    EXPECT_EQ(life.Apply(Yaml("tried", ""), Mode::kTry, absl::Seconds(1)).status().code(),
              absl::StatusCode::kInvalidArgument);
    // By hand.
    ASSERT_TRUE(life.Apply(Yaml("tried", ""), Mode::kTry).ok());
    EXPECT_TRUE(life.HostnameComes("tried"));
    auto ended = life.Revert(0);
    ASSERT_TRUE(ended.ok()) << ended.status();
    EXPECT_EQ(ended->generation, 0u);
    EXPECT_TRUE(life.HostnameComes("image"));
    EXPECT_TRUE(life.Event("generation 1 was reverted by a test: the seed runs again"));
    // By its time.
    ASSERT_TRUE(life.Apply(Yaml("again", ""), Mode::kTry, absl::Seconds(5)).ok());
    EXPECT_TRUE(life.HostnameComes("again"));
    EXPECT_TRUE(life.HostnameComes("image"));
    EXPECT_TRUE(life.Event("generation 2 was not confirmed within 5s: the one before it is back"));
    ASSERT_TRUE(life.Apply(Yaml("kept", ""), Mode::kNow).ok());
    ASSERT_TRUE(life.Apply(Yaml("third", ""), Mode::kTry).ok());
    EXPECT_TRUE(life.HostnameComes("third"));
  }
  // By a boot.
  Life life(Options("boot-2"));
  ASSERT_TRUE(life.DataComes());
  EXPECT_EQ(life.hostname(), "kept");
  EXPECT_TRUE(life.Event("generation 4 was on trial when the node restarted"));
}

TEST_F(ConfigControllerTest, ABootThatComesUpIsNotCounted) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/image.yaml", Yaml("image", "")).ok());
  ConfigController::Options options = Options("boot-1");
  Life life(options);
  ASSERT_TRUE(life.DataComes());
  ASSERT_TRUE(life.Apply(Yaml("mine", ""), ConfigController::Mode::kNow).ok());
  EXPECT_TRUE(life.HostnameComes("mine"));
  auto ledger = [&] { return ConfigLedger::Load(options.sources.memory); };
  EXPECT_EQ(ledger().boots, 1u);  // of the seed
  life.SetApid(true);
  EXPECT_TRUE(life.Comes([&] { return ledger().LastGood() == 1; }));  // after ten seconds
  EXPECT_EQ(ledger().boots, 1u);                                      // which this generation did not begin
}

TEST_F(ConfigControllerTest, AForeignDiskIsLeftAloneAndToldOf) {
  ASSERT_THAT(Sh({"/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", loop_}), "");
  ASSERT_TRUE(ReplaceFile(directory_ + "/fw_cfg", Yaml("seed", loop_)).ok());
  Life life(Options("boot-1"));
  std::string told = absl::StrCat(loop_, " is not empty: it holds ext4 and no partition STELE-DATA; it is left alone");
  EXPECT_TRUE(life.VolumeSays(kDataLabel, told));
  EXPECT_FALSE(life.IsDataReady());
  EXPECT_EQ(life.hostname(), "seed");  // the API is up all the same
}

TEST_F(ConfigControllerTest, ADiskThatIsMissingIsToldOf) {
  ASSERT_TRUE(ReplaceFile(directory_ + "/fw_cfg", Yaml("seed", "/dev/not-there")).ok());
  Life life(Options("boot-1"));
  EXPECT_TRUE(life.VolumeSays(kDataLabel, "storage.disk /dev/not-there is not there"));
  EXPECT_FALSE(life.IsDataReady());
}

TEST_F(ConfigControllerTest, WithoutAConfigThereIsMaintenance) {
  Life life(Options("boot-1"));
  ASSERT_TRUE(life.DataComes());
  EXPECT_EQ(life.hostname(), "none");
  ASSERT_TRUE(ReplaceFile(directory_ + "/fw_cfg", "kind: nonsense\n").ok());
  Life bad(Options("boot-1"));
  ASSERT_TRUE(bad.DataComes());
  EXPECT_EQ(bad.hostname(), "none");
}

}  // namespace
}  // namespace stele::machined
