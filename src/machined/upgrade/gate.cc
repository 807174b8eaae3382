#include "machined/upgrade/gate.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace stele::machined {
namespace {

// For writing down why, and ending the machine in order.
constexpr absl::Duration kBeforeInit = absl::Seconds(30);

std::string Tell(const GateCondition& condition) {
  return condition.message.empty() ? condition.phase : absl::StrCat(condition.phase, " (", condition.message, ")");
}

}  // namespace

GateVerdict JudgeTrial(const GateFacts& facts) {
  GateVerdict verdict;
  std::vector<std::string> missing;
  absl::Duration together = absl::ZeroDuration();
  for (const GateCondition& condition : facts.conditions) {
    together = std::max(together, condition.since);
    if (condition.holds) continue;
    missing.push_back(Tell(condition));
    if (verdict.unit.empty()) verdict.unit = condition.unit;
  }
  bool held = missing.empty() && facts.age - together >= kGateHold;
  if (held && (!facts.manual || facts.confirmed)) return {GateVerdict::kGood, "", ""};
  std::string waits = !missing.empty() ? absl::StrJoin(missing, ", ")
                      : !held          ? absl::StrCat("all to hold for ", absl::FormatDuration(kGateHold))
                                       : std::string("an operator's confirmation");
  if (facts.age < facts.deadline) {
    verdict.message = absl::StrCat("waits for ", waits);
    return verdict;
  }
  verdict.result = GateVerdict::kFailed;
  verdict.message = absl::StrCat("after ", absl::FormatDuration(absl::Trunc(facts.age, absl::Seconds(1))),
                                 " there was still to wait for ", waits);
  return verdict;
}

absl::Duration TrialDeadline(uint32_t configured_seconds, absl::Duration init_deadline) {
  absl::Duration wanted = configured_seconds == 0 ? kDefaultTrial : absl::Seconds(configured_seconds);
  return std::max(kBeforeInit, std::min(wanted, init_deadline - kBeforeInit));
}

}  // namespace stele::machined
