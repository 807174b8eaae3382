#include "machined/install/efi_variables.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "machined/storage_fixture.h"

namespace stele::machined {
namespace {

class EfiVariablesTest : public StorageTest {};

TEST_F(EfiVariablesTest, KeepsAttributesApartFromData) {
  EfiVariables variables(directory_);
  ASSERT_TRUE(variables.Prepare().ok());
  EXPECT_EQ(variables.Read("Boot0001-x").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(variables.Write("Boot0001-x", {kEfiBootVariable, "longer data"}).ok());
  EXPECT_EQ(*ReadFile(directory_ + "/Boot0001-x"), absl::StrCat(std::string("\7\0\0\0", 4), "longer data"));
  ASSERT_TRUE(variables.Write("Boot0001-x", {kEfiBootVariable, "short"}).ok());
  EXPECT_EQ(variables.Read("Boot0001-x")->data, "short");
  EXPECT_EQ(variables.Read("Boot0001-x")->attributes, 7u);
  ASSERT_TRUE(variables.Write("Other", {}).ok());
  EXPECT_THAT(*variables.List("Boot"), testing::ElementsAre("Boot0001-x"));
  EXPECT_TRUE(variables.Remove("Boot0001-x").ok());
  EXPECT_TRUE(variables.Remove("Boot0001-x").ok());
}

TEST_F(EfiVariablesTest, TheSameAgainIsNoWrite) {
  EfiVariables variables(directory_);
  ASSERT_TRUE(variables.Write("A", {7, "x"}).ok());
  std::string before = Sh({"/usr/bin/stat", "-c", "%y %z", directory_ + "/A"});
  ASSERT_TRUE(variables.Write("A", {7, "x"}).ok());
  EXPECT_EQ(Sh({"/usr/bin/stat", "-c", "%y %z", directory_ + "/A"}), before);
}

TEST_F(EfiVariablesTest, SaysWhatIsWrongWithTheStore) {
  EXPECT_EQ(EfiVariables(directory_ + "/none").Prepare().code(), absl::StatusCode::kUnimplemented);
  ASSERT_TRUE(ReplaceFile(directory_ + "/torn", "x").ok());
  EXPECT_EQ(EfiVariables(directory_).Read("torn").status().code(), absl::StatusCode::kDataLoss);
  if (::mount("full", directory_.c_str(), "tmpfs", 0, "size=8k") != 0) GTEST_SKIP() << "needs root that may mount";
  EfiVariables variables(directory_);
  absl::Status full;
  for (int i = 0; i < 10 && full.ok(); ++i)
    full = variables.Write(absl::StrCat("Boot", i), {7, std::string(3000, 'x')});
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_LT(variables.List("Boot")->size(), 10u);  // what did not fit left no empty file
  ASSERT_EQ(::mount(nullptr, directory_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_EQ(variables.Write("New", {7, "x"}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(variables.Remove("Boot0").code(), absl::StatusCode::kFailedPrecondition);
  ::umount2(directory_.c_str(), MNT_DETACH);
}

TEST_F(EfiVariablesTest, TheImmutableFlagIsInNobodysWay) {
  EfiVariables variables(directory_);
  ASSERT_TRUE(variables.Write("A", {7, "x"}).ok());
  if (Sh({"/usr/bin/chattr", "+i", directory_ + "/A"}) != "") GTEST_SKIP() << "needs a file system with chattr +i";
  EXPECT_TRUE(variables.Write("A", {7, "yy"}).ok());
  Sh({"/usr/bin/chattr", "+i", directory_ + "/A"});
  EXPECT_TRUE(variables.Remove("A").ok());
}

}  // namespace
}  // namespace stele::machined
