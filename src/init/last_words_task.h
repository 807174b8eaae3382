// Before a failed trial ends the machine: why goes to the disk (base/last_words.h), for the image that runs next. A
// disk may hang, so a child writes it, and is waited for only so long.
#pragma once

#include "base/boot_facts.h"
#include "base/last_words.h"
#include "init/clock.h"
#include "init/supervisor.h"

namespace stele::init {

class LastWordsTask {
 public:
  static constexpr uint64_t kPatience = 2 * kSecond;

  // `reason`, and of a machined that is not there how it ended and what it said at last.
  void Begin(uint64_t now, const BootFacts& facts, const std::string& reason, Service* machined);
  void OnChildExit(pid_t pid);
  uint64_t next_deadline() const { return deadline_; }
  // True once: written, or out of patience.
  bool Done(uint64_t now);

 private:
  pid_t pid_ = -1;
  uint64_t deadline_ = kNever;
};

}  // namespace stele::init
