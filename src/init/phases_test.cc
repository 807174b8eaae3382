#include "init/phases.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace stele::init {
namespace {

TEST(PhaseTable, KeepsOneOfEachNameAndOwner) {
  PhaseTable phases;
  size_t first = phases.Begin("mounts", 7);
  EXPECT_TRUE(phases.TakeChanged(first));
  EXPECT_FALSE(phases.TakeChanged(first));
  phases.End(first, kPhaseDone, "all");
  EXPECT_TRUE(phases.TakeChanged(first));
  EXPECT_EQ(phases[first].message, "all");
  EXPECT_GE(phases[first].end_ns, phases[first].start_ns);
  EXPECT_TRUE(phases.Store({.name = "mounts", .by_machined = true}));
  EXPECT_EQ(phases.size(), 2u) << "machined's of the same name is another";
  EXPECT_EQ(phases.Begin("mounts", 7), first);
  EXPECT_EQ(phases[first].state, kPhaseRunning);
  EXPECT_EQ(phases.size(), 2u);
}

TEST(PhaseTable, LeavesRoomForTheEndOfTheMachine) {
  PhaseTable phases;
  int stored = 0;
  while (phases.Store({.name = absl::StrCat("phase-", stored), .by_machined = true}, PhaseTable::kMostWithMachined)) {
    ASSERT_LT(++stored, 100);
  }
  for (int step = 0; step < 16; ++step) EXPECT_NE(phases.Begin(absl::StrCat("step-", step), 0), SIZE_MAX);
  size_t none = phases.Begin("one-more", 0);
  EXPECT_EQ(none, SIZE_MAX);
  phases.End(none, kPhaseDone, "");  // goes nowhere
  EXPECT_EQ(phases.size(), init_protocol::kMaxPhases);
}

}  // namespace
}  // namespace stele::init
