#include "machined/config_store.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_replace.h"
#include "base/file.h"
#include "config/test_pem.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "machined/config_source.h"

namespace stele::machined {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

class ConfigStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-config-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + folder_).c_str()), 0); }

  std::string File(int number) { return absl::StrCat(folder_, "/generation-0000000", number, ".yaml"); }
  static std::vector<std::string> Yamls(const std::vector<Generation>& generations) {
    std::vector<std::string> yamls;
    for (const Generation& generation : generations) yamls.push_back(generation.yaml);
    return yamls;
  }
  std::vector<std::string> Newest() { return Yamls(ConfigStore(folder_).List(&passed_over_)); }

  std::string folder_;
  std::vector<std::string> passed_over_;
};

TEST_F(ConfigStoreTest, KeepsGenerationsNewestFirst) {
  ConfigStore store(folder_ + "/made/when/needed");
  EXPECT_THAT(store.List(&passed_over_), IsEmpty());
  for (int i = 1; i <= 15; ++i) {
    auto saved = store.Save(absl::StrCat("n: ", i, "\n"), "api", kNow);
    ASSERT_TRUE(saved.ok()) << saved.status();
    EXPECT_EQ(saved->number, static_cast<uint64_t>(i));
  }
  std::vector<Generation> all = store.List(&passed_over_);
  ASSERT_EQ(all.size(), ConfigStore::kKept);
  EXPECT_EQ(all[0].number, 15u);
  EXPECT_EQ(all[0].yaml, "n: 15\n");
  EXPECT_EQ(all[0].source, "api");
  EXPECT_EQ(all[0].applied, kNow);
  EXPECT_EQ(all[9].number, 6u);
  EXPECT_THAT(passed_over_, IsEmpty());
}

TEST_F(ConfigStoreTest, ATornOrChangedFileIsPassedOver) {
  ConfigStore store(folder_);
  ASSERT_TRUE(store.Save("first: 1\n# stele-generation: a comment\n", "api", kNow).ok());
  ASSERT_TRUE(store.Save("second: 2 sha256=x", "api", kNow).ok());
  ASSERT_THAT(Newest(), ElementsAre("second: 2 sha256=x\n", "first: 1\n# stele-generation: a comment\n"));
  std::string whole = *ReadFile(File(2));
  for (size_t i = 0; i < whole.size(); ++i) {
    ASSERT_TRUE(ReplaceFile(File(2), whole.substr(0, i)).ok());
    ASSERT_THAT(Newest(), ElementsAre("first: 1\n# stele-generation: a comment\n")) << "cut at " << i;
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      ASSERT_TRUE(ReplaceFile(File(2), changed).ok());
      ASSERT_THAT(Newest(), ElementsAre("first: 1\n# stele-generation: a comment\n")) << "bit " << bit << " of " << i;
    }
  }
  EXPECT_THAT(passed_over_.back(), "generation 2 is passed over: its checksum does not fit");
  // The next one does not take the number of the broken one.
  EXPECT_EQ(store.Save("third: 3\n", "api", kNow)->number, 3u);
}

TEST_F(ConfigStoreTest, StagedWaitsForTheNextBoot) {
  ConfigStore store(folder_);
  ASSERT_TRUE(store.Save("a: 1\n", "api", kNow).ok());
  ASSERT_TRUE(store.Stage("b: 2\n", "boot-1", kNow).ok());
  EXPECT_FALSE(*store.PromoteStaged("boot-1", kNow));  // machined was killed
  EXPECT_THAT(Newest(), ElementsAre("a: 1\n"));
  EXPECT_TRUE(*store.PromoteStaged("boot-2", kNow));
  EXPECT_THAT(Newest(), ElementsAre("b: 2\n", "a: 1\n"));
  EXPECT_FALSE(*store.PromoteStaged("boot-2", kNow));
  ASSERT_TRUE(ReplaceFile(folder_ + "/staged.yaml", "torn").ok());
  EXPECT_FALSE(*store.PromoteStaged("boot-3", kNow));
  EXPECT_THAT(Newest(), ElementsAre("b: 2\n", "a: 1\n"));
}

TEST_F(ConfigStoreTest, TrialsCountAndAreForgottenApart) {
  ConfigStore store(folder_);
  ASSERT_TRUE(store.Save("kept: 1\n", "api", kNow).ok());
  for (int i = 2; i <= 20; ++i) {
    auto tried = store.Try({.source = "api", .applied = kNow, .yaml = absl::StrCat("tried: ", i, "\n"), .boot = "b"});
    ASSERT_TRUE(tried.ok()) << tried.status();
    ASSERT_EQ(tried->number, static_cast<uint64_t>(i));
    ASSERT_TRUE(store.Revert(i, "was 100% in the way").ok());
    EXPECT_EQ(store.Revert(i, "").code(), absl::StatusCode::kNotFound);
    EXPECT_EQ(store.Confirm(i).status().code(), absl::StatusCode::kNotFound);
  }
  std::vector<Generation> all = store.List(&passed_over_);
  EXPECT_EQ(all.size(), 1 + ConfigStore::kKeptTrials + 1);
  EXPECT_EQ(all.front().message, "was 100% in the way");
  EXPECT_EQ(all.back().yaml, "kept: 1\n");
  EXPECT_EQ(store.Save("next: 1\n", "api", kNow)->number, 21u);
}

TEST_F(ConfigStoreTest, SaysWhyItCannotSave) {
  ASSERT_TRUE(ReplaceFile(folder_ + "/file", "").ok());
  EXPECT_THAT(std::string(ConfigStore(folder_ + "/file").Save("a: 1\n", "api", kNow).status().message()),
              HasSubstr("/file"));
}

std::string Yaml(const std::string& hostname) {
  auto line = [](const char* pem) { return absl::StrCat("\"", absl::StrReplaceAll(pem, {{"\n", "\\n"}}), "\""); };
  return absl::StrCat("apiVersion: stele.dev/v1\nkind: MachineConfig\napi:\n  clientCA: ", line(config::test_pem::kCa),
                      "\n  certificate: ", line(config::test_pem::kServer),
                      "\n  key: ", line(config::test_pem::kServerKey), "\nnetwork: {hostname: ", hostname, "}\n");
}

class ConfigSourceTest : public ConfigStoreTest {
 protected:
  void SetUp() override {
    ConfigStoreTest::SetUp();
    sources_ = {folder_ + "/state", folder_ + "/memory", folder_ + "/fw_cfg", folder_ + "/image"};
  }
  // "source/generation hostname"
  std::string Load(bool state_mounted) {
    LoadedConfig loaded = LoadConfig(sources_, state_mounted, moment_);
    warnings_ = loaded.warnings;
    if (loaded.config == nullptr) return "none";
    return absl::StrCat(loaded.generation.source, "/", loaded.generation.number, " ",
                        loaded.config->network().hostname());
  }
  ConfigSources sources_;
  BootMoment moment_ = {"boot", absl::Seconds(100)};
  std::vector<std::string> warnings_;
};

TEST_F(ConfigSourceTest, StateBeforeMemoryBeforeHypervisorBeforeImage) {
  EXPECT_EQ(Load(true), "none");
  EXPECT_THAT(warnings_, IsEmpty());
  ASSERT_TRUE(ReplaceFile(sources_.image, Yaml("image")).ok());
  EXPECT_EQ(Load(true), "image/0 image");
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, Yaml("given")).ok());
  EXPECT_EQ(Load(true), "fw_cfg/0 given");
  ASSERT_TRUE(ConfigStore(sources_.memory).Save(Yaml("applied"), "api", kNow).ok());
  EXPECT_EQ(Load(true), "api/1 applied");
  ASSERT_TRUE(ConfigStore(sources_.state).Save(Yaml("stored"), "api", kNow).ok());
  EXPECT_EQ(Load(true), "state/1 stored");
  EXPECT_EQ(Load(false), "api/1 applied");
  EXPECT_EQ(LoadSeed(sources_).config->network().hostname(), "given");
}

TEST_F(ConfigSourceTest, GoesBackToTheLastThatCanBeUsed) {
  ConfigStore store(sources_.state);
  ASSERT_TRUE(store.Save(Yaml("good"), "api", kNow).ok());
  ASSERT_TRUE(store.Save(Yaml("newer") + "fromTheFuture: {a: 1}\n", "api", kNow).ok());
  ASSERT_TRUE(store.Save(Yaml("Bad_Name"), "api", kNow).ok());
  ASSERT_TRUE(store.Save("not: a config\n", "api", kNow).ok());
  EXPECT_EQ(Load(true), "state/2 newer");
  EXPECT_THAT(warnings_, testing::Contains(HasSubstr("fromTheFuture: unknown key 'fromTheFuture' is ignored")));
  EXPECT_THAT(warnings_,
              testing::Contains(HasSubstr("generation 3:7:21: network.hostname: expected an RFC 1123 name")));
}

TEST_F(ConfigSourceTest, ABadSeedIsNoConfig) {
  ASSERT_TRUE(ReplaceFile(sources_.fw_cfg, "kind: MachineConfig\n").ok());
  EXPECT_EQ(Load(false), "none");
  EXPECT_THAT(warnings_, testing::Contains("fw_cfg:1:1: api: missing; expected a mapping"));
}

}  // namespace
}  // namespace stele::machined
