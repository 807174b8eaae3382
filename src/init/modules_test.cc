#include "init/modules.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <cstdlib>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::init {
namespace {

using ::testing::Test;

class ModulesTest : public Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stele-modules-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    Write("modules.dep",
          "kernel/net/br_netfilter.ko: kernel/net/bridge.ko kernel/net/stp.ko kernel/net/llc.ko\n"
          "kernel/net/llc.ko:\n"
          "kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko\n"
          "kernel/drivers/block/virtio_blk.ko:\n");
    Write("modules.builtin", "kernel/fs/ext4/ext4.ko\n");
    Write("modules.alias",
          "# Aliases extracted from modules themselves.\n"
          "alias virtio:d00000001v* virtio_net\n"
          "alias virtio:d00000002v* virtio-blk\n"
          "alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\n");
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + directory_).c_str()), 0); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(ReplaceFile(directory_ + "/" + name, text).ok());
  }
  std::string directory_;
};

TEST_F(ModulesTest, LoadsWhatAModuleNeedsFirst) {
  absl::StatusOr<Modules> modules = Modules::Read(directory_);
  ASSERT_TRUE(modules.ok()) << modules.status();
  std::vector<std::string> expected = {directory_ + "/kernel/net/llc.ko", directory_ + "/kernel/net/stp.ko",
                                       directory_ + "/kernel/net/bridge.ko",
                                       directory_ + "/kernel/net/br_netfilter.ko"};
  EXPECT_EQ(*modules->FilesOf("br_netfilter"), expected);
  EXPECT_EQ(*modules->FilesOf("br-netfilter"), expected);
  EXPECT_TRUE(modules->FilesOf("ext4")->empty()) << "built in";
  EXPECT_EQ(modules->FilesOf("nosuch").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ModulesTest, FindsTheDriverOfADevice) {
  absl::StatusOr<Modules> modules = Modules::Read(directory_);
  ASSERT_TRUE(modules.ok());
  EXPECT_EQ(modules->Matching("virtio:d00000001v00001AF4"), std::set<std::string>{"virtio_net"});
  EXPECT_EQ(modules->Matching("virtio:d00000002v00001AF4"), std::set<std::string>{"virtio_blk"});
  EXPECT_EQ(modules->Matching("pci:v00001AF4d00001041sv00001AF4sd00000001bc02sc00i00"),
            std::set<std::string>{"virtio_pci"});
  EXPECT_TRUE(modules->Matching("virtio:d00000009v1").empty());
  EXPECT_TRUE(modules->Matching("v").empty());
}

TEST(MatchesAlias, AgreesWithFnmatch) {
  for (const char* pattern :
       {"", "*", "a*", "*a", "a?c", "[0-9]x", "[abc]*[a-b]", "a*b*c", "a[x", "**b", "usb:v*p*d[0-2]*"}) {
    for (const char* text : {"", "a", "abc", "aXbYc", "5x", "cb", "ca", "b", "ax", "usb:v1p2d1z", "usb:v1p2d3"}) {
      EXPECT_EQ(MatchesAlias(pattern, text),
                ::fnmatch(pattern, text, 0) == 0 || (std::string(pattern) == "a[x" && std::string(text) == "ax"))
          << pattern << " " << text;
    }
  }
}

TEST_F(ModulesTest, CollectsModaliasesFromAnyDepth) {
  ASSERT_TRUE(MakeDirectories(directory_ + "/sys/a/b").ok());
  Write("sys/a/modalias", "virtio:d1\n");
  Write("sys/a/b/modalias", "pci:v1");
  Write("sys/a/b/other", "x");
  EXPECT_EQ(Modaliases(directory_ + "/sys"), (std::set<std::string>{"virtio:d1", "pci:v1"}));
}

TEST_F(ModulesTest, ReadsAListWithComments) {
  Write("list", "# for pods\noverlay\n\n  br_netfilter  # bridge\nveth");
  EXPECT_EQ(ReadModuleList(directory_ + "/list"), (std::vector<std::string>{"overlay", "br_netfilter", "veth"}));
}

}  // namespace
}  // namespace stele::init
