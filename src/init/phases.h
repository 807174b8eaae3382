// The named steps of boot and shutdown, init's own and what machined reported of its.
#pragma once

#include <vector>

#include "base/init_protocol.h"

namespace stele::init {

using init_protocol::Phase;

// As stele.resource.v1.PhaseState.
enum PhaseState : uint8_t { kPhasePending = 1, kPhaseRunning, kPhaseDone, kPhaseFailed, kPhaseSkipped };

class PhaseTable {
 public:
  PhaseTable() { phases_.reserve(init_protocol::kMaxPhases); }

  // Begins a phase of init's own (again); its place, or SIZE_MAX when the table is full.
  size_t Begin(absl::string_view name, uint64_t deadline_ms);
  void End(size_t at, PhaseState state, absl::string_view message);
  // Stores a phase under its name and owner; false when `most` are there.
  bool Store(Phase phase, size_t most = init_protocol::kMaxPhases);
  // Of `most` for machined's: the end of the machine must find room.
  static constexpr size_t kMostWithMachined = init_protocol::kMaxPhases - 16;

  size_t size() const { return phases_.size(); }
  const Phase& operator[](size_t at) const { return phases_[at]; }
  // Phases changed since they were last told to machined; a new machined is told all.
  bool TakeChanged(size_t at);
  void MarkAllChanged();

 private:
  std::vector<Phase> phases_;
  bool changed_[init_protocol::kMaxPhases] = {};
};

}  // namespace stele::init
