#include "machined/install/loader_trial.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "gmock/gmock.h"
#include "machined/storage_fixture.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const EspPartition kEsp = {1, 2048, 1048576, "57e1e000-0000-4000-8000-00000000000a"};
constexpr char kOld[] = "\\EFI\\systemd\\boot-00000001.efi";
constexpr char kNew[] = "\\EFI\\systemd\\boot-00000002.efi";
constexpr char kNewer[] = "\\EFI\\systemd\\boot-00000003.efi";
constexpr char kFallback[] = "\\EFI\\BOOT\\BOOTX64.EFI";
constexpr char kSomebodys[] = "\\EFI\\other\\other.efi";

// A folder is the firmware's store. Somebody else has an entry in it.
class LoaderTrialTest : public StorageTest {
 protected:
  void SetUp() override {
    StorageTest::SetUp();
    variables_ = EfiVariables(directory_);
    EspPartition other = kEsp;
    other.uuid = "00000000-0000-4000-8000-00000000000b";
    Put(absl::StrCat("Boot0000-", kEfiGlobalGuid), *EncodeLoadOption({1, "Other", other, kSomebodys}));
    Put(absl::StrCat("BootOrder-", kEfiGlobalGuid), std::string("\0\0", 2));
  }
  void Put(const std::string& name, const std::string& data) {
    ASSERT_TRUE(variables_.Write(name, {kEfiBootVariable, data}).ok());
  }
  // The loader that starts the next boots.
  void Boot(const std::string& loader, const std::string& partition = absl::AsciiStrToUpper(kEsp.uuid)) {
    for (auto [name, text] : {std::pair("LoaderImageIdentifier", loader), {"LoaderDevicePartUUID", partition}}) {
      std::string wide;
      for (char c : text) wide += {c, '\0'};
      Put(absl::StrCat(name, "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"), wide + std::string(2, '\0'));
    }
  }
  static bool NoneIsGone(const std::string&) { return false; }
  absl::Status Try(const std::string& loader) { return TryLoader(loader, kEsp, variables_, NoneIsGone); }
  absl::Status End(LoaderVerdict verdict) { return EndLoaderTrial(verdict, kEsp, variables_, NoneIsGone); }
  // What firmware starts, in its order; and there are no other entries.
  std::vector<std::string> Order() {
    std::vector<std::string> files;
    std::string order = variables_.Read(absl::StrCat("BootOrder-", kEfiGlobalGuid))->data;
    for (size_t i = 0; i + 1 < order.size(); i += 2) {
      std::string name = absl::StrFormat("Boot%04X-%s", uint8_t(order[i]) | uint8_t(order[i + 1]) << 8, kEfiGlobalGuid);
      files.push_back(DecodeLoadOption(variables_.Read(name)->data)->file);
    }
    EXPECT_EQ(variables_.List("Boot0")->size(), files.size());
    return files;
  }
  EfiVariables variables_;
};

TEST_F(LoaderTrialTest, TheOneBeforeStaysBehindUntilTheNewOneRan) {
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  EXPECT_THAT(Order(), ElementsAre(kOld, kOld, kOld, kOld, kSomebodys));
  Boot(kOld);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(Try(kNew).ok());
    EXPECT_THAT(Order(), ElementsAre(kNew, kNew, kNew, kNew, kOld, kSomebodys));
  }
  Boot(kNew);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(End(LoaderVerdict::kGood).ok());
    EXPECT_THAT(Order(), ElementsAre(kNew, kNew, kNew, kNew, kSomebodys));
  }
}

TEST_F(LoaderTrialTest, OneThatFirmwareRefusesIsLeftAgainWhenTheImageIsGood) {
  Boot(kOld);
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  ASSERT_TRUE(Try(kNew).ok());
  // The entry behind started it, spelled as this firmware does.
  Boot("\\EFI\\SYSTEMD\\BOOT-00000001.EFI");
  absl::Status ended = End(LoaderVerdict::kGood);
  EXPECT_TRUE(absl::IsFailedPrecondition(ended));
  EXPECT_THAT(std::string(ended.message()), HasSubstr(absl::StrCat("instead of ", kNew)));
  constexpr char kSpelled[] = "\\EFI\\SYSTEMD\\BOOT-00000001.EFI";
  EXPECT_THAT(Order(), ElementsAre(kSpelled, kSpelled, kSpelled, kSpelled, kSomebodys));
  // The next image's loader has it behind again.
  ASSERT_TRUE(Try(kNewer).ok());
  EXPECT_EQ(Order()[4], kSpelled);
}

TEST_F(LoaderTrialTest, AFailedImageTakesItsLoaderAlong) {
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  Boot(kOld);
  ASSERT_TRUE(End(LoaderVerdict::kFailed).ok());
  EXPECT_THAT(Order(), ElementsAre(kOld, kOld, kOld, kOld, kSomebodys)) << "nothing was on trial";
  ASSERT_TRUE(Try(kNew).ok());
  Boot(kNew);
  for (int again = 0; again < 2; ++again) {
    ASSERT_TRUE(End(LoaderVerdict::kFailed).ok());
    EXPECT_THAT(Order(), ElementsAre(kOld, kOld, kOld, kOld, kSomebodys));
  }
}

// An image failed without a word, and the image before came back by the new loader: that one is proven by now.
TEST_F(LoaderTrialTest, TheOneThatRunsIsKeptNotTheOneThatIsBehind) {
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  Boot(kOld);
  ASSERT_TRUE(Try(kNew).ok());
  Boot(kNew);
  ASSERT_TRUE(Try(kNewer).ok());
  EXPECT_THAT(Order(), ElementsAre(kNewer, kNewer, kNewer, kNewer, kNew, kSomebodys));
}

TEST_F(LoaderTrialTest, ANodeWithoutEntriesKeepsTheRemovablePath) {
  Boot(kFallback);
  ASSERT_TRUE(End(LoaderVerdict::kGood).ok());
  ASSERT_TRUE(End(LoaderVerdict::kFailed).ok());
  EXPECT_THAT(Order(), ElementsAre(kSomebodys));
  ASSERT_TRUE(Try(kNew).ok());
  EXPECT_THAT(Order(), ElementsAre(kNew, kNew, kNew, kNew, kFallback, kSomebodys));
}

TEST_F(LoaderTrialTest, WhereItIsNotKnownWhatRunsTheFirstOfTheOrderIsKeptAndNothingEnds) {
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  for (int round = 0; round < 3; ++round) {
    if (round == 1) Boot(kNewer, "00000000-0000-4000-8000-0000000000ff");  // of another disk
    if (round == 2) Boot("\\EFI\\systemd\\grubx64.efi");                   // somebody's shim started it
    EXPECT_TRUE(absl::IsNotFound(RunningLoader(kEsp, variables_).status()));
    ASSERT_TRUE(Try(round == 0 ? kNew : kNewer).ok());
    std::vector<std::string> order = Order();
    EXPECT_EQ(order[4], round == 0 ? kOld : round == 1 ? kNew : kSomebodys) << round;
    ASSERT_TRUE(End(LoaderVerdict::kGood).ok());
    EXPECT_EQ(Order(), order);
  }
}

TEST_F(LoaderTrialTest, FirmwareWithAnOrderOfItsOwnIsTold) {
  ASSERT_TRUE(PointBootEntriesTo({.first = kOld}, kEsp, variables_, NoneIsGone).ok());
  Boot(kFallback);
  EXPECT_THAT(std::string(End(LoaderVerdict::kGood).message()), HasSubstr("keeps to an order of its own"));
  EXPECT_THAT(Order(), ElementsAre(kOld, kOld, kOld, kOld, kSomebodys));
}

}  // namespace
}  // namespace stele::machined
