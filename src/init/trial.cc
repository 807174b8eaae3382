#include "init/trial.h"

#include "init/clock.h"
#include "init/log.h"

namespace stele::init {

void Trial::Begin(uint64_t now, uint64_t seconds) {
  under_way_ = true;
  seconds_ = seconds;
  deadline_ = now + seconds * kSecond;
  phase_ = phases_.Begin("trial", seconds * 1000);
  reason_.reserve(128);  // later there may be no memory
}

void Trial::NoteEnd(uint64_t up_ms) {
  if (under_way_) short_runs_ = up_ms >= kGoodUpMs ? 0 : short_runs_ + 1;
}

void Trial::Over() {
  if (!under_way_) return;
  under_way_ = false;
  phases_.End(phase_, kPhaseDone, "");
  Log(Level::kNotice, "trial: the image is good");
}

bool Trial::Failed(uint64_t now) {
  if (!under_way_) return false;
  if (short_runs_ >= kMostStarts) {
    reason_ = absl::StrCat("machined ended ", short_runs_, " times, each within a minute");
  } else if (now >= deadline_) {
    reason_ = absl::StrCat(connected_ ? "machined did not say" : "machined never connected to say",
                           " that the image is good within ", seconds_, " s");
  } else {
    return false;
  }
  under_way_ = false;
  phases_.End(phase_, kPhaseFailed, reason_);
  Log(Level::kError, "trial: %s: rebooting", reason_.c_str());
  return true;
}

}  // namespace stele::init
