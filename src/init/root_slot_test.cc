#include "init/root_slot.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "gtest/gtest.h"

namespace stele::init {
namespace {

// A sysfs of links into a tree of devices, as the kernel lays it out.
class RootSlotTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    ASSERT_TRUE(MakeDirectories(root_ + "/class").ok());
  }
  void TearDown() override { ASSERT_EQ(::system(("rm -r " + root_).c_str()), 0); }
  void Partition(const std::string& disk, const std::string& name, const std::string& uevent) {
    std::string folder = root_ + "/devices/pci0/" + disk + "/" + name;
    ASSERT_TRUE(MakeDirectories(folder).ok());
    std::ofstream(folder + "/uevent") << uevent;
    ASSERT_EQ(::symlink(folder.c_str(), (root_ + "/class/" + name).c_str()), 0);
  }
  std::string root_ = "/tmp/root-slot-test-XXXXXX";
};

TEST_F(RootSlotTest, FindsSlotsByTheirNames) {
  Partition("vda", "vda2", "MAJOR=254\nDEVTYPE=partition\nPARTN=2\nPARTNAME=STELE-ROOT-A\n");
  Partition("vda", "vda3", "PARTNAME=STELE-ROOT-B");
  Partition("vda", "vda4", "PARTNAME=STELE-STATE\n");
  Partition("vdb", "vdb1", "XPARTNAME=STELE-ROOT-A\n");
  Partition("vdb", "vdb2", "PARTNAME=STELE-ROO\n");
  Partition("nvme0n1", "nvme0n1p2", "PARTNAME=STELE-ROOT-A\n");
  std::vector<SlotCandidate> found = FindSlotCandidates(root_ + "/class");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].partition, "nvme0n1p2");
  EXPECT_EQ(found[0].disk, "nvme0n1");
  EXPECT_EQ(found[1].partition, "vda2");
  EXPECT_EQ(found[1].name, "STELE-ROOT-A");
  EXPECT_EQ(found[2].name, "STELE-ROOT-B");
  EXPECT_EQ(found[2].disk, "vda");
  EXPECT_TRUE(FindSlotCandidates(root_ + "/none").empty());
}

TEST(SlotsToAsk, OurOwnDiskIsWaitedForAndGoesFirst) {
  std::vector<SlotCandidate> both = {
      {"vda2", "STELE-ROOT-A", "vda"}, {"vda3", "STELE-ROOT-B", "vda"}, {"vdb2", "STELE-ROOT-A", "vdb"}};
  auto names = [](const std::vector<SlotCandidate>& slots) {
    std::string all;
    for (const SlotCandidate& slot : slots) absl::StrAppend(&all, slot.partition, " ");
    return all;
  };
  EXPECT_EQ(names(SlotsToAsk(both, {}, false, "", false)), "vda2 vda3 vdb2 ") << "no loader to ask";
  EXPECT_EQ(names(SlotsToAsk(both, {}, true, "", false)), "") << "ours has not come up yet";
  EXPECT_EQ(names(SlotsToAsk(both, {}, true, "", true)), "vda2 vda3 vdb2 ") << "and will not";
  EXPECT_EQ(names(SlotsToAsk(both, {}, true, "vdb", false)), "vdb2 ");
  EXPECT_EQ(names(SlotsToAsk(both, {"vdb2"}, true, "vdb", false)), "vda2 vda3 ") << "ours does not fit";
  EXPECT_EQ(names(SlotsToAsk(both, {"vda2", "vda3", "vdb2"}, true, "vdb", true)), "");
}

}  // namespace
}  // namespace stele::init
