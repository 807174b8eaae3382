#include "init/phases.h"

#include <algorithm>
#include <utility>

#include "init/clock.h"

namespace stele::init {

bool PhaseTable::Store(Phase phase, size_t most) {
  auto found = std::find_if(phases_.begin(), phases_.end(), [&](const Phase& other) {
    return other.by_machined == phase.by_machined && other.name == phase.name;
  });
  if (found != phases_.end()) {
    changed_[found - phases_.begin()] = true;
    *found = std::move(phase);
    return true;
  }
  if (phases_.size() >= most) return false;
  changed_[phases_.size()] = true;
  phases_.push_back(std::move(phase));
  return true;
}

size_t PhaseTable::Begin(absl::string_view name, uint64_t deadline_ms) {
  Phase phase;
  phase.name = std::string(name);  // short: does not allocate
  phase.state = kPhaseRunning;
  phase.start_ns = Now();
  phase.deadline_ms = deadline_ms;
  if (!Store(std::move(phase))) return SIZE_MAX;
  for (size_t at = 0; at < phases_.size(); ++at) {
    if (!phases_[at].by_machined && phases_[at].name == name) return at;
  }
  return SIZE_MAX;
}

void PhaseTable::End(size_t at, PhaseState state, absl::string_view message) {
  if (at >= phases_.size()) return;
  phases_[at].state = state;
  phases_[at].end_ns = Now();
  phases_[at].message = std::string(message);
  changed_[at] = true;
}

bool PhaseTable::TakeChanged(size_t at) { return std::exchange(changed_[at], false); }

void PhaseTable::MarkAllChanged() { std::fill_n(changed_, phases_.size(), true); }

}  // namespace stele::init
