#include "init/trial.h"

#include "gtest/gtest.h"
#include "init/clock.h"

namespace stele::init {
namespace {

constexpr uint64_t kBegin = 7 * kSecond;

TEST(Trial, WithoutOneNothingEverFails) {
  PhaseTable phases;
  Trial trial(phases);
  EXPECT_EQ(trial.next_deadline(), kNever);
  for (int i = 0; i < 20; ++i) trial.NoteEnd(5);
  trial.Over();
  EXPECT_FALSE(trial.Failed(kNever));
  EXPECT_EQ(phases.size(), 0u);
}

TEST(Trial, FailsAtItsDeadlineAndSaysWhatWasMissing) {
  PhaseTable phases;
  Trial silent(phases);
  silent.Begin(kBegin, 900);
  EXPECT_EQ(silent.next_deadline(), kBegin + 900 * kSecond);
  EXPECT_FALSE(silent.Failed(kBegin + 900 * kSecond - 1));
  EXPECT_TRUE(silent.Failed(kBegin + 900 * kSecond));
  EXPECT_FALSE(silent.Failed(kNever)) << "once";
  EXPECT_EQ(silent.next_deadline(), kNever);
  EXPECT_EQ(phases[0].name, "trial");
  EXPECT_EQ(phases[0].state, kPhaseFailed);
  EXPECT_EQ(phases[0].message, "machined never connected to say that the image is good within 900 s");
  EXPECT_EQ(phases[0].deadline_ms, 900'000u);

  PhaseTable others;
  Trial reached(others);
  reached.Begin(kBegin, 5);
  reached.NoteConnected();
  EXPECT_TRUE(reached.Failed(kBegin + 5 * kSecond));
  EXPECT_EQ(others[0].message, "machined did not say that the image is good within 5 s");
}

TEST(Trial, IsOverWhenMachinedSaysSo) {
  PhaseTable phases;
  Trial trial(phases);
  trial.Begin(kBegin, 900);
  trial.Over();
  EXPECT_FALSE(trial.Failed(kNever));
  EXPECT_EQ(phases[0].state, kPhaseDone);
  for (int i = 0; i < 20; ++i) trial.NoteEnd(5);
  EXPECT_FALSE(trial.Failed(kNever)) << "what happens to a good image is no trial's";
}

TEST(Trial, AMachinedThatEndsAgainAndAgainEndsIt) {
  PhaseTable phases;
  Trial trial(phases);
  trial.Begin(kBegin, 900);
  for (uint32_t i = 1; i < Trial::kMostStarts; ++i) trial.NoteEnd(59'999);
  EXPECT_FALSE(trial.Failed(kBegin));
  trial.NoteEnd(60'000);  // it was well for once
  for (uint32_t i = 1; i < Trial::kMostStarts; ++i) trial.NoteEnd(10);
  EXPECT_FALSE(trial.Failed(kBegin));
  trial.NoteEnd(10);
  EXPECT_TRUE(trial.Failed(kBegin));
  EXPECT_EQ(phases[0].message, "machined ended 10 times, each within a minute");
}

}  // namespace
}  // namespace stele::init
