// The trial of an image that the boot loader counts: machined ends it, or it ends the machine.
//
// Whether an image is good is machined's to say. That it says so in time is watched here, by something
// that does not need machined to work: an image whose machined never comes up, hangs, or ends again and
// again must give way to the one before it.
#pragma once

#include <cstdint>
#include <string>

#include "init/phases.h"

namespace stele::init {

class Trial {
 public:
  static constexpr uint64_t kGoodUpMs = 60'000;  // a machined that was up so long does not crash at its start
  static constexpr uint32_t kMostStarts = 10;

  explicit Trial(PhaseTable& phases) : phases_(phases) {}

  void Begin(uint64_t now, uint64_t seconds);
  bool under_way() const { return under_way_; }

  void NoteConnected() { connected_ = true; }
  // machined ended after so long.
  void NoteEnd(uint64_t up_ms);
  // The image is good. Without a trial this is no news.
  void Over();

  uint64_t next_deadline() const { return under_way_ ? deadline_ : UINT64_MAX; }
  // True once, when the trial has failed: the phase says why, and the machine is to be rebooted.
  bool Failed(uint64_t now);
  const std::string& reason() const { return reason_; }

 private:
  PhaseTable& phases_;
  size_t phase_ = SIZE_MAX;
  bool under_way_ = false;
  bool connected_ = false;
  uint32_t short_runs_ = 0;  // in a row
  uint64_t seconds_ = 0;
  uint64_t deadline_ = 0;
  std::string reason_;
};

}  // namespace stele::init
