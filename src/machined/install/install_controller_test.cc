// What `install:` of a configuration comes to, on every kind of disk.
#include "machined/install/install_controller.h"

#include "gmock/gmock.h"
#include "machined/install/installer_fixture.h"

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

}  // namespace
}  // namespace stele::machined
