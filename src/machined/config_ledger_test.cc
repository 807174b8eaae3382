// What a node begins its boots with: trials that are over, boots that broke, the last good one, maintenance.
#include "machined/config_ledger.h"

#include <cstdlib>

#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "config/test_pem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/config_source.h"

namespace stele::machined {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

std::string Yaml(const std::string& hostname) {
  auto line = [](const char* pem) { return absl::StrCat("\"", absl::StrReplaceAll(pem, {{"\n", "\\n"}}), "\""); };
  return absl::StrCat("apiVersion: stele.dev/v1\nkind: MachineConfig\napi:\n  clientCA: ", line(config::test_pem::kCa),
                      "\n  certificate: ", line(config::test_pem::kServer),
                      "\n  key: ", line(config::test_pem::kServerKey), "\nnetwork: {hostname: ", hostname,
                      "}\nkubelet: {clusterDomain: d.example}\n");
}

class ConfigLedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-ledger-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    sources_ = {folder_ + "/state", folder_ + "/memory", folder_ + "/fw_cfg", folder_ + "/image"};
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }

  ConfigStore Store() { return OpenConfigStore(sources_.state); }
  void Save(const std::string& hostname) { ASSERT_TRUE(Store().Save(Yaml(hostname), "api", kNow).ok()); }
  // "generation hostname" of another boot, or of this one.
  std::string Boot() {
    moment_.id = absl::StrCat("boot-", ++boots_);
    return Start();
  }
  std::string Start() {
    loaded_ = LoadConfig(sources_, true, moment_);
    if (loaded_.config == nullptr) return "none";
    return absl::StrCat(loaded_.maintenance ? "maintenance " : "", loaded_.generation.number, " ",
                        loaded_.config->network().hostname());
  }
  // The API has been up for a while, and all of the node was healthy.
  void ComeUp() {
    auto told = ConfigLedger::Update(sources_.state, [this](ConfigLedger& ledger) {
      ledger.proven.insert(ConfigLedger::Key(loaded_.generation));
      ledger.good.insert(ConfigLedger::Key(loaded_.generation));
      ledger.boots = 0;
      return true;
    });
    ASSERT_TRUE(told.ok());
  }

  std::string folder_;
  ConfigSources sources_;
  BootMoment moment_ = {"", absl::Seconds(100)};
  int boots_ = 0;
  LoadedConfig loaded_;
};

TEST_F(ConfigLedgerTest, OneThatBreaksThreeBootsIsLeftForTheLastGoodOne) {
  Save("good");
  EXPECT_EQ(Boot(), "1 good");
  ComeUp();
  Save("neither");
  Save("bad");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Boot(), "3 bad");
    EXPECT_EQ(Start(), "3 bad");  // machined was killed: the same boot
    EXPECT_THAT(loaded_.news, IsEmpty());
  }
  EXPECT_EQ(Boot(), "4 good");
  EXPECT_THAT(loaded_.news, Contains("generation 3 broke 3 boots in a row: the API was never up for 10s; the node goes "
                                     "back to generation 1, the last good one"));
  EXPECT_EQ(Start(), "4 good");
  EXPECT_THAT(loaded_.news, IsEmpty());
  std::vector<std::string> passed_over;
  Generation fallback = Store().List(&passed_over).front();
  EXPECT_EQ(fallback.source, "fallback");
  EXPECT_EQ(fallback.repeats, 1u);
  EXPECT_EQ(fallback.left, 3u);
  // It breaks, too: the API alone, for as long as nothing else is applied.
  EXPECT_EQ(Boot(), "4 good");
  EXPECT_EQ(Boot(), "4 good");
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Boot(), "maintenance 0 good");
    EXPECT_EQ(Start(), "maintenance 0 good");
    EXPECT_EQ(loaded_.generation.source, "maintenance");
    EXPECT_EQ(loaded_.config->api().key(), config::test_pem::kServerKey);
    EXPECT_FALSE(loaded_.config->has_kubelet());
    EXPECT_THAT(loaded_.news, Contains(HasSubstr("maintenance mode: generation 4 broke 3 boots in a row")));
  }
  Save("mended");
  EXPECT_EQ(Start(), "5 mended");
  EXPECT_EQ(Boot(), "5 mended");
}

TEST_F(ConfigLedgerTest, WithoutAGoodOneTheSeedIsLeft) {
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("seed")).ok());
  Save("bad");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "1 bad");
  EXPECT_EQ(Boot(), "2 seed");
  EXPECT_THAT(loaded_.news, Contains(HasSubstr("the node goes back to its seed")));
}

TEST_F(ConfigLedgerTest, WithNothingToGoBackToTheKeysAreLeft) {
  Save("bad");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "1 bad");
  EXPECT_EQ(Boot(), "maintenance 0 ");  // its network was never good
  EXPECT_EQ(loaded_.config->api().certificate(), config::test_pem::kServer);
}

TEST_F(ConfigLedgerTest, ASeedIsCountedToo) {
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("seed")).ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "0 seed");
  EXPECT_EQ(Boot(), "maintenance 0 ");
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("other")).ok());
  EXPECT_EQ(Boot(), "0 other");
}

TEST_F(ConfigLedgerTest, OneThatCameUpOnceIsNotLeft) {
  Save("old");
  Boot();
  ComeUp();
  Save("good");
  EXPECT_EQ(Boot(), "2 good");
  EXPECT_EQ(Boot(), "2 good");
  ComeUp();
  for (int i = 0; i < 9; ++i) EXPECT_EQ(Boot(), "2 good");  // a power that comes and goes
}

TEST_F(ConfigLedgerTest, BootsInARowAreOfOneGeneration) {
  Save("first");
  EXPECT_EQ(Boot(), "1 first");
  EXPECT_EQ(Boot(), "1 first");
  Save("second");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "2 second");
}

TEST_F(ConfigLedgerTest, CrashesOfMachinedAreCountedInThrees) {
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("seed")).ok());
  Save("crashes");
  EXPECT_EQ(Boot(), "1 crashes");
  for (; moment_.crashes < 9; ++moment_.crashes) EXPECT_EQ(Start(), "1 crashes") << moment_.crashes;
  EXPECT_EQ(Start(), "2 seed");  // all in one boot
  moment_.crashes = 0;
  // Also where machined came no further than its first steps most times.
  Save("crashes-at-once");
  EXPECT_EQ(Boot(), "3 crashes-at-once");
  moment_.crashes = 9;
  EXPECT_EQ(Start(), "4 seed");
  moment_.crashes = 0;
  // One that came up before is not left.
  Save("proven");
  EXPECT_EQ(Boot(), "5 proven");
  ComeUp();
  for (; moment_.crashes < 20; ++moment_.crashes) EXPECT_EQ(Start(), "5 proven");
  // Crashes before it are not its own.
  Save("next");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Start(), "6 next");
}

TEST_F(ConfigLedgerTest, BootsOfAnImageOnTrialAreTheImages) {
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("seed")).ok());
  Save("innocent");
  moment_.image_on_trial = true;
  for (int i = 0; i < 9; ++i) EXPECT_EQ(Boot(), "1 innocent");
  moment_.image_on_trial = false;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "1 innocent");
  EXPECT_EQ(Boot(), "2 seed");
}

TEST_F(ConfigLedgerTest, ATrialIsOverWithItsTimeOrItsBoot) {
  Save("kept");
  Boot();
  Generation wanted = {.source = "api", .applied = kNow, .yaml = Yaml("tried"), .by = "alice (admin) from [::1]:7"};
  wanted.boot = moment_.id;
  wanted.until = absl::Seconds(160);
  wanted.timeout = absl::Seconds(60);
  ASSERT_EQ(Store().Try(wanted)->number, 2u);
  EXPECT_EQ(Start(), "2 tried");
  EXPECT_EQ(loaded_.generation.until, absl::Seconds(160));
  EXPECT_EQ(loaded_.generation.by, wanted.by);
  moment_.age = absl::Seconds(160);
  EXPECT_EQ(Start(), "1 kept");
  EXPECT_THAT(loaded_.news, Contains("generation 2 was not confirmed within 1m: the one before it is back"));
  EXPECT_EQ(Start(), "1 kept");
  EXPECT_THAT(loaded_.news, IsEmpty());
  wanted.until = absl::Seconds(1000);
  ASSERT_EQ(Store().Try(wanted)->number, 3u);
  EXPECT_EQ(Start(), "3 tried");
  EXPECT_EQ(Boot(), "1 kept");
  EXPECT_THAT(loaded_.news, Contains("generation 3 was on trial when the node restarted: the one before it is back"));
}

TEST_F(ConfigLedgerTest, IsOldOrNewAndLostWithoutHarm) {
  ConfigLedger ledger;
  ledger.counted = "3:abc";
  ledger.boots = 2;
  ledger.boot = "b 1";
  for (int i = 0; i < 50; ++i) ledger.good.insert(absl::StrCat(i, ":abc"));
  ASSERT_TRUE(ledger.Save(folder_).ok());
  ConfigLedger read = ConfigLedger::Load(folder_);
  EXPECT_EQ(read.counted, "3:abc");
  EXPECT_EQ(read.boots, 2u);
  EXPECT_EQ(read.boot, "b 1");
  EXPECT_EQ(read.LastGood(), 49u);
  EXPECT_EQ(read.good.size(), 2 * ConfigStore::kKept);  // bounded
  std::string whole = *ReadFile(folder_ + "/ledger");
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_TRUE(ReplaceFile(folder_ + "/ledger", whole.substr(0, i)).ok());
    ASSERT_EQ(ConfigLedger::Load(folder_).boots, 0u) << "cut at " << i;
  }
}

TEST_F(ConfigLedgerTest, TheLastGoodOneIsNeverForgotten) {
  Save("good");
  Boot();
  ComeUp();
  for (int i = 0; i < 30; ++i) Save(absl::StrCat("n", i));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Boot(), "31 n29");
  EXPECT_EQ(Boot(), "32 good");
}

}  // namespace
}  // namespace stele::machined
