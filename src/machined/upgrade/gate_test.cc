#include "machined/upgrade/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stele::machined {
namespace {

using testing::HasSubstr;

GateFacts Facts(int age) {
  GateFacts facts;
  for (const char* name : {"config", "api", "containerd", "kubelet"}) {
    facts.conditions.push_back({name, name, true, absl::Seconds(20), ""});
  }
  facts.age = absl::Seconds(age);
  return facts;
}

TEST(Gate, GoodWhenAllHeldTogetherForTenSeconds) {
  EXPECT_EQ(JudgeTrial(Facts(29)).result, GateVerdict::kWaiting);
  EXPECT_THAT(JudgeTrial(Facts(29)).message, HasSubstr("hold for 10s"));
  EXPECT_EQ(JudgeTrial(Facts(30)).result, GateVerdict::kGood);
  GateFacts late = Facts(100);
  late.conditions[3].since = absl::Seconds(95);
  EXPECT_EQ(JudgeTrial(late).result, GateVerdict::kWaiting);
}

TEST(Gate, WaitsThenFailsAndNamesWhatIsMissing) {
  GateFacts facts = Facts(599);
  facts.conditions[3].holds = false;
  facts.conditions[3].message = "exited with 1";
  GateVerdict verdict = JudgeTrial(facts);
  EXPECT_EQ(verdict.result, GateVerdict::kWaiting);
  EXPECT_EQ(verdict.unit, "kubelet");
  facts.age = absl::Seconds(600);
  verdict = JudgeTrial(facts);
  EXPECT_EQ(verdict.result, GateVerdict::kFailed);
  EXPECT_THAT(verdict.message, HasSubstr("kubelet (exited with 1)"));
  EXPECT_THAT(verdict.message, HasSubstr("10m"));
}

TEST(Gate, AnOperatorHasTheLastWordWhereAsked) {
  GateFacts facts = Facts(100);
  facts.manual = true;
  EXPECT_EQ(JudgeTrial(facts).result, GateVerdict::kWaiting);
  EXPECT_THAT(JudgeTrial(facts).message, HasSubstr("confirmation"));
  facts.confirmed = true;
  EXPECT_EQ(JudgeTrial(facts).result, GateVerdict::kGood);
  facts.conditions[0].holds = false;
  EXPECT_EQ(JudgeTrial(facts).result, GateVerdict::kWaiting) << "a confirmation replaces no condition";
  facts = Facts(700);
  facts.manual = true;
  EXPECT_EQ(JudgeTrial(facts).result, GateVerdict::kFailed);
}

TEST(Gate, WhatHeldInTimeIsGoodEvenWhenLookedAtLate) {
  EXPECT_EQ(JudgeTrial(Facts(10'000)).result, GateVerdict::kGood);
}

TEST(Gate, TheDeadlineIsBeforeInits) {
  EXPECT_EQ(TrialDeadline(0, absl::Seconds(900)), absl::Seconds(600));
  EXPECT_EQ(TrialDeadline(120, absl::Seconds(900)), absl::Seconds(120));
  EXPECT_EQ(TrialDeadline(3600, absl::Seconds(900)), absl::Seconds(870));
  EXPECT_EQ(TrialDeadline(600, absl::Seconds(40)), absl::Seconds(30));
}

}  // namespace
}  // namespace stele::machined
