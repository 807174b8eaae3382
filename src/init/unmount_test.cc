#include "init/unmount.h"

#include <cstring>

#include "gtest/gtest.h"

namespace stele::init {
namespace {

bool Parse(const char* text, std::string* target, std::string* source) {
  char line[512];
  strcpy(line, text);
  MountLine mount;
  if (!ParseMountLine(line, mount)) return false;
  *target = mount.target;
  *source = mount.source;
  return true;
}

TEST(ParseMountLine, FindsTargetAndSourceBehindAnyNumberOfFields) {
  std::string target, source;
  ASSERT_TRUE(
      Parse("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue", &target, &source));
  EXPECT_EQ(target, "/mnt2");
  EXPECT_EQ(source, "/dev/root");
  ASSERT_TRUE(Parse("36 35 98:0 / /var rw shared:1 master:2 propagate_from:3 - xfs /dev/vda4 rw", &target, &source));
  EXPECT_EQ(source, "/dev/vda4");
  ASSERT_TRUE(Parse("22 1 0:20 / /proc rw - proc proc rw", &target, &source));
  EXPECT_EQ(target, "/proc");
}

TEST(ParseMountLine, UndoesEscapes) {
  std::string target, source;
  ASSERT_TRUE(Parse("1 2 0:3 / /a\\040b\\134c\\012 rw - tmpfs none rw", &target, &source));
  EXPECT_EQ(target, "/a b\\c\n");
  ASSERT_TRUE(Parse("1 2 0:3 / /a\\9 rw - tmpfs none rw", &target, &source));
  EXPECT_EQ(target, "/a\\9");
}

TEST(ParseMountLine, RefusesWhatIsNone) {
  std::string target, source;
  for (const char* line : {"", "1", "1 2 3 4 5", "1 2 3 4 5 6 7 8", "1 2 3 4 5 6 - ext4"}) {
    EXPECT_FALSE(Parse(line, &target, &source)) << line;
  }
}

}  // namespace
}  // namespace stele::init
