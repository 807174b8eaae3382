#include "init/command_line.h"

#include "gtest/gtest.h"
#include "init/verity.h"

namespace stele::init {
namespace {

const std::string kHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(CommandLine, KnowsItsOwnWordsAmongOthers) {
  CommandLine line = ParseCommandLine(
      "console=ttyS0 stele.trial=5 panic=10 stele.root=first stele.root=a:1:b stele.watchdog=off quiet\n");
  EXPECT_EQ(line.root, "a:1:b");
  EXPECT_EQ(line.trial_seconds, 5u);
  EXPECT_FALSE(line.watchdog);
  EXPECT_FALSE(line.kexec);
  EXPECT_TRUE(ParseCommandLine("stele.kexec=1").kexec);
  CommandLine none = ParseCommandLine("quiet xstele.root=1 stele.watchdog");
  EXPECT_EQ(none.root, "");
  EXPECT_EQ(none.trial_seconds, 900u);
  EXPECT_TRUE(none.watchdog);
  for (const char* bad : {"stele.trial=", "stele.trial=0", "stele.trial=-1", "stele.trial=9x", "stele.trial=86401",
                          "stele.trial=99999999999999999999999"}) {
    EXPECT_EQ(ParseCommandLine(bad).trial_seconds, 900u) << bad;
  }
}

TEST(CommandLine, RootIsHashBlocksSalt) {
  absl::StatusOr<RootVerity> root = ParseRootVerity(kHash + ":20000:00ff");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->hash, kHash);
  EXPECT_EQ(root->blocks, 20000u);
  EXPECT_EQ(root->salt, "00ff");
  EXPECT_EQ(ParseRootVerity(kHash + ":1:")->salt, "-");
  EXPECT_EQ(ParseRootVerity(kHash + ":1:-")->salt, "-");
  std::string upper = kHash;
  upper[10] = 'A';
  for (const std::string& bad : {std::string(), kHash, kHash + ":1", kHash.substr(1) + ":1:00", upper + ":1:00",
                                 kHash + ":0:00", kHash + ":x:00", kHash + ":1:0", kHash + ":1:zz",
                                 kHash + ":1:00:", kHash + ":99999999999999999999:00", kHash + ":1:" + kHash + "00"}) {
    EXPECT_FALSE(ParseRootVerity(bad).ok()) << bad;
  }
}

TEST(Verity, TableLineAsTheKernelReadsIt) {
  RootVerity root = {.hash = kHash, .blocks = 20000, .salt = "00ff"};
  EXPECT_EQ(VerityTable(root, "/dev/vda2", ""),
            "1 /dev/vda2 /dev/vda2 4096 4096 20000 20000 sha256 " + kHash + " 00ff");
  EXPECT_EQ(VerityTable(root, "8:2", "2 panic_on_corruption panic_on_error"),
            "1 8:2 8:2 4096 4096 20000 20000 sha256 " + kHash + " 00ff 2 panic_on_corruption panic_on_error");
}

}  // namespace
}  // namespace stele::init
