// What `install:` of a configuration comes to, on every kind of disk.
#include "machined/install/install_controller.h"

#include "gmock/gmock.h"
#include "machined/fake_init.h"
#include "machined/install/disk_note.h"
#include "machined/install/installer_fixture.h"
#include "machined/runtime.h"

namespace stele::machined {
namespace {

TEST(DecideInstall, WipesOnceAndNeverLoops) {
  const FoundInstall empty = {.device = "/dev/vda"};
  const FoundInstall same = {.device = "/dev/vda", .installed = true, .record = "config image\n"};
  const FoundInstall other = {.device = "/dev/vda", .installed = true, .record = "other image\n"};
  const FoundInstall reset = {.device = "/dev/vda", .installed = true};  // its record went with its state
  auto tried = [](FoundInstall found, int boots) {
    found.medium_boots = boots;
    return found;
  };
  struct Case {
    FoundInstall found;
    bool wipe;
    InstallDecision decision;
  } cases[] = {
      {empty, false, InstallDecision::kInstall},
      {empty, true, InstallDecision::kInstall},
      {tried(empty, 9), false, InstallDecision::kInstall},  // cut before it was whole: nothing to boot
      {same, false, InstallDecision::kBootDisk},
      {same, true, InstallDecision::kBootDisk},  // a medium that serves the same for ever wipes once
      {other, false, InstallDecision::kBootDisk},
      {other, true, InstallDecision::kInstall},
      {reset, false, InstallDecision::kBootDisk},
      {reset, true, InstallDecision::kInstall},
      {tried(same, 2), true, InstallDecision::kBootDisk},
      {tried(same, 3), true, InstallDecision::kStay},
      {tried(other, 3), false, InstallDecision::kStay},
      {tried(other, 3), true, InstallDecision::kInstall},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(DecideInstall(c.found, c.wipe, "config image\n"), c.decision)
        << c.found.installed << " " << c.found.record << " " << c.found.medium_boots << " wipe " << c.wipe;
  }
}

class FindInstallTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    if (!MayMountImages()) GTEST_SKIP() << "needs root that may mount, and loop devices";
    MakeImage(3400 * kMiB);
  }
};

TEST_F(FindInstallTest, CountsTheMediumsBootsOnTheDisk) {
  std::string work = directory_ + "/work";
  EXPECT_FALSE(FindInstall(image_, work)->installed);
  InstallOptions options = TestOptions(image_, work);
  options.state_files.emplace_back("install", "config image\n");
  ASSERT_TRUE(Installer(options, TestSource(), [](const InstallProgress&) {}).Run().ok());
  for (int boots = 0; boots < 3; ++boots) {
    absl::StatusOr<FoundInstall> found = FindInstall(image_, work);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_TRUE(found->installed);
    EXPECT_EQ(found->record, "config image\n");
    EXPECT_EQ(found->medium_boots, boots);
    absl::Status counted = CountMediumBoot(*found, work);
    ASSERT_TRUE(counted.ok()) << counted;
  }
  // A state partition that cannot be read keeps nobody from booting.
  uint64_t state = FindPartition(*ProbeDisk(image_), kStateLabel)->start;
  WriteAt(state + 1024, std::string(1024, '\0'));
  EXPECT_TRUE(FindInstall(image_, work)->installed);
  EXPECT_EQ(FindInstall(image_, work)->record, "");
}

// The controller of a node that was booted from a medium, with an image file as the disk that `install:` names.
class InstallControllerTest : public FindInstallTest, public InitListener {
 protected:
  void SetUp() override {
    FindInstallTest::SetUp();
    if (IsSkipped()) return;
    config_.mutable_install()->mutable_disk()->set_path(image_);
  }
  void InstallOnto() {
    ASSERT_TRUE(Installer(TestOptions(image_, directory_ + "/by-hand"), TestSource(), [](const InstallProgress&) {})
                    .Run()
                    .ok());
  }
  void BreakState() {
    uint64_t state = FindPartition(*ProbeDisk(image_), kStateLabel)->start;
    WriteAt(state + 1024, std::string(1024, '\0'));
  }
  // One boot of the medium.
  void Boot() {
    runtime_.reset();
    client_.reset();
    loop_ = *OwnerLoop::Create();
    store_ = std::make_unique<Store>();
    runtime_ = std::make_unique<Runtime>(*loop_, *store_, events_);
    client_ = std::make_unique<InitClient>(*loop_, init_.Connect(*loop_), *this);
    boots_ = std::make_unique<BootsController>(
        *client_, BootsController::Options{.file = directory_ + "/boots", .pstore = "/nonexistent/pstore"});
    ASSERT_TRUE(boots_->Start(*runtime_).ok());
    configs_ = std::make_unique<ConfigController>(
        *loop_, [](Node&) { return services::Facts{}; }, ConfigController::Options());
    BootFacts facts;
    facts.medium = BootMedium::kMemory;
    runner_ = std::make_unique<InstallRunner>(*loop_, facts);
    InstallController::Places places = {
        .source = [](const BootFacts&) -> absl::StatusOr<InstallSource> { return TestSource(); },
        .disks = [this] { return std::vector<DiskInfo>{{.device = image_, .size = 3400 * kMiB}}; },
        .work = directory_ + "/work",
    };
    runtime_->SetConfig(std::make_shared<config::v1::MachineConfig>(config_));
    runtime_->SetDataReady(true);
    std::vector<std::unique_ptr<Controller>> all;
    all.push_back(std::make_unique<InstallController>(*runner_, *configs_, *boots_, places));
    runtime_->StartControllers(std::move(all));
    ASSERT_TRUE(client_->Start().ok());
  }
  void TearDown() override {
    runtime_.reset();
    configs_.reset();
    boots_.reset();
    client_.reset();
    loop_.reset();
    FindInstallTest::TearDown();
  }
  bool RunUntil(const std::function<bool()>& done) {
    absl::Time late = absl::Now() + absl::Seconds(60);
    while (!done() && absl::Now() < late) {
      bool turn = false;
      loop_->After(absl::Milliseconds(5), [&turn] { turn = true; });
      while (!turn) EXPECT_TRUE(loop_->events().RunOnce(-1).ok());
    }
    return done();
  }
  // Since the events before were looked at.
  int Told(absl::string_view text) {
    int found = 0;
    for (const EventPtr& event : events_.After(0)) found += absl::StrContains(event->message(), text);
    return found;
  }
  void OnServiceState(const init_protocol::ServiceState&, UniqueFd) override {}
  void OnPhase(const init_protocol::Phase&) override {}
  void OnListed() override {}
  void OnLost(const absl::Status&) override {}

  config::v1::MachineConfig config_;
  EventLog events_{"/nonexistent/events"};
  FakeInit init_;
  std::unique_ptr<OwnerLoop> loop_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<InitClient> client_;
  std::unique_ptr<BootsController> boots_;
  std::unique_ptr<ConfigController> configs_;
  std::unique_ptr<InstallRunner> runner_;
  std::unique_ptr<Runtime> runtime_;
};

TEST_F(InstallControllerTest, ADiskWhoseStateIsBrokenIsBootedThreeTimesAllTheSame) {
  InstallOnto();
  BreakState();
  for (size_t boot = 1; boot <= 3; ++boot) {
    Boot();
    ASSERT_TRUE(RunUntil([&] { return init_.requests.size() == boot; })) << boot;
    EXPECT_EQ(init_.requests.back(), "end 0");
  }
  Boot();
  EXPECT_TRUE(RunUntil([&] { return Told("the firmware keeps starting the medium") == 1; }));
  EXPECT_EQ(init_.requests.size(), 3u);
  // Installed anew it counts anew.
  InstallOptions again = TestOptions(image_, directory_ + "/by-hand");
  again.wipe = true;
  ASSERT_TRUE(Installer(again, TestSource(), [](const InstallProgress&) {}).Run().ok());
  EXPECT_EQ(FindInstall(image_, directory_ + "/work")->medium_boots, 0);
}

TEST_F(InstallControllerTest, ACountThatCannotBeKeptIsAWarningAndTheDiskIsBooted) {
  InstallOnto();
  BreakState();
  // Nobody may write to the disk: root may, where the file is not immutable.
  Sh({"/usr/bin/chattr", "+i", image_});
  if (DiskFile::Open(image_).ok()) GTEST_SKIP() << "needs a file system with immutable files";
  Boot();
  EXPECT_TRUE(RunUntil([&] { return init_.requests == std::vector<std::string>{"end 0"}; }));
  EXPECT_EQ(Told("count this boot of the medium"), 1);
  Sh({"/usr/bin/chattr", "-i", image_});
}

// The runner itself finds no medium here, so each installation fails.
TEST_F(InstallControllerTest, AnInstallationThatFailsIsTriedThreeTimesForEachConfiguration) {
  Boot();
  ASSERT_TRUE(RunUntil([&] { return Told("given up after 3 tries") == 1; }));
  EXPECT_EQ(Told("booted from a medium that carries"), 2) << "what failed, once, and that it is given up";
  EXPECT_EQ(Told("works again"), 0);
  bool later = false;
  loop_->After(absl::Seconds(3), [&later] { later = true; });
  runtime_->SetDataReady(false);
  runtime_->SetDataReady(true);
  EXPECT_TRUE(RunUntil([&] { return later; }));
  EXPECT_EQ(Told("given up after 3 tries"), 1);
  EXPECT_TRUE(init_.requests.empty());
}

}  // namespace
}  // namespace stele::machined
