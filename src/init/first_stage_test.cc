#include "init/first_stage.h"

#include "gtest/gtest.h"

namespace stele::init {
namespace {

TEST(FirstStagePhases, SurviveTheirFile) {
  std::vector<init_protocol::Phase> phases = {
      {.name = "kernel-mounts", .state = 3, .start_ns = 12, .end_ns = 3456},
      {.name = "root-mount", .state = 4, .start_ns = 1, .end_ns = UINT64_MAX, .message = "with words in it"},
  };
  std::vector<init_protocol::Phase> back = ParsePhases(FormatPhases(phases));
  ASSERT_EQ(back.size(), 2u);
  EXPECT_EQ(back[0].name, "kernel-mounts");
  EXPECT_EQ(back[0].end_ns, 3456u);
  EXPECT_EQ(back[0].message, "");
  EXPECT_EQ(back[1].state, 4);
  EXPECT_EQ(back[1].end_ns, UINT64_MAX);
  EXPECT_EQ(back[1].message, "with words in it");
}

TEST(FirstStagePhases, PassOverWhatIsNone) {
  EXPECT_TRUE(ParsePhases("").empty());
  EXPECT_TRUE(ParsePhases("\n\nname\nname 3\nname x y z \n 3 4 5 \nname 77 1 2 \n").empty());
}

}  // namespace
}  // namespace stele::init
