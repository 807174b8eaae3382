#include "init/efi.h"

#include <cstdlib>
#include <fstream>

#include "gtest/gtest.h"

namespace stele::init {
namespace {

class Efi : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(directory_.data()), nullptr); }
  void TearDown() override { ASSERT_EQ(::system(("rm -r " + directory_).c_str()), 0); }
  void Put(const char* name, const std::string& raw) {
    std::ofstream(directory_ + "/" + name + "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f") << raw;
  }
  static std::string Wide(const std::string& text) {
    std::string raw("\6\0\0\0", 4);
    for (char c : text) raw += std::string{c, '\0'};
    return raw + std::string(2, '\0');
  }
  std::string directory_ = "/tmp/efi-test-XXXXXX";
};

TEST_F(Efi, TellsWhatTheLoaderLeft) {
  Put("LoaderDevicePartUUID", Wide("57E1E000-0000-4000-8000-00000000000A"));
  Put("LoaderBootCountPath", Wide("\\EFI\\Linux\\stele-7+2-1.efi"));
  BootFacts facts;
  ReadLoaderFacts(facts, /*kexec=*/false, directory_);
  EXPECT_EQ(facts.loader_partition, "57e1e000-0000-4000-8000-00000000000a");
  EXPECT_EQ(facts.entry, "\\EFI\\Linux\\stele-7+2-1.efi");
  EXPECT_TRUE(facts.trial);
  BootFacts after_kexec;
  ReadLoaderFacts(after_kexec, /*kexec=*/true, directory_);
  EXPECT_EQ(after_kexec.loader_partition, facts.loader_partition);
  EXPECT_EQ(after_kexec.entry, "");
  EXPECT_FALSE(after_kexec.trial);
}

TEST_F(Efi, TheCounterOfAnEntryThatCouldNotBeLoadedIsNotOurs) {
  Put("LoaderBootCountPath", Wide("\\EFI\\Linux\\stele-7+0-3.efi"));
  BootFacts facts;
  for (const char* selected : {"stele-7+0-3.efi", "stele-7+1-2.efi", "stele-7.efi", "STELE-7", ""}) {
    Put("LoaderEntrySelected", Wide(selected));
    ReadLoaderFacts(facts, /*kexec=*/false, directory_);
    EXPECT_TRUE(facts.trial) << selected;
    EXPECT_EQ(facts.entry, "\\EFI\\Linux\\stele-7+0-3.efi");
  }
  for (const char* selected : {"stele-6.efi", "stele-77+0-3.efi", "somebody.conf"}) {
    Put("LoaderEntrySelected", Wide(selected));
    ReadLoaderFacts(facts, /*kexec=*/false, directory_);
    EXPECT_FALSE(facts.trial) << selected;
    EXPECT_EQ(facts.entry, "");
  }
}

TEST_F(Efi, WithoutOrWithOddVariablesThereIsNoTrial) {
  BootFacts facts;
  ReadLoaderFacts(facts, /*kexec=*/false, directory_);
  EXPECT_EQ(facts.loader_partition + facts.entry, "");
  EXPECT_FALSE(facts.trial);
  for (const std::string& raw :
       {std::string(), std::string("\6\0"), std::string("\6\0\0\0x", 5), std::string(5000, 'x')}) {
    Put("LoaderBootCountPath", raw);
    ReadLoaderFacts(facts, /*kexec=*/false, directory_);
    EXPECT_FALSE(facts.trial);
  }
  Put("LoaderBootCountPath", Wide("stele+1.efi\x01") + "more");
  EXPECT_EQ(*ReadLoaderVariable("LoaderBootCountPath", directory_), "stele+1.efi?");
}

}  // namespace
}  // namespace stele::init
