// Whether an image on trial is good: from facts alone (docs/upgrade.md, "Good or back"). Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace stele::machined {

// All must hold together for this long.
inline constexpr absl::Duration kGateHold = absl::Seconds(10);
inline constexpr absl::Duration kDefaultTrial = absl::Seconds(600);

// One thing that must hold.
struct GateCondition {
  std::string phase;  // as `osctl get phases` calls it
  std::string unit;   // the service it is about; empty for none
  bool holds = false;
  absl::Duration since;  // the machine's age when it began to hold
  std::string message;   // why it does not
};

struct GateFacts {
  std::vector<GateCondition> conditions;
  bool manual = false;     // an operator has to confirm
  bool confirmed = false;  // and did
  absl::Duration age;      // since the kernel's start
  absl::Duration deadline = kDefaultTrial;
};

struct GateVerdict {
  enum Result { kWaiting, kGood, kFailed } result = kWaiting;
  std::string message;  // what it waits for, or why it failed
  std::string unit;     // the service whose log tells more
};

GateVerdict JudgeTrial(const GateFacts& facts);

// The deadline that counts: the configuration's (0: 600 s), and well before init's own, which gives no reason.
absl::Duration TrialDeadline(uint32_t configured_seconds, absl::Duration init_deadline);

}  // namespace stele::machined
