// The end of the machine: reboot, power-off or halt, as a table of steps with deadlines.
//
// Each step is begun once and asked in every turn whether it is done; at its deadline force is
// used and the next step begins whatever the answer. Besides, and apart from the sequence, a timer
// descriptor and a forked child each reboot when the whole has taken too long, so neither a
// mistake in the table nor init stuck in the kernel keeps the machine. A forced request drops what
// is left of stopping services and gives the rest its shorter deadlines: at most 5 s.
#pragma once

#include <sys/types.h>

#include <algorithm>

#include "base/event_loop.h"
#include "init/phases.h"
#include "init/supervisor.h"

namespace stele::init {

using init_protocol::EndAction;

class Ending : private FdHandler {
 public:
  static constexpr uint64_t kTotal = 29 * kSecond;
  static constexpr uint64_t kTotalForced = 4 * kSecond + 500 * kMillisecond;

  Ending(EventLoop& loop, Supervisor& supervisor, PhaseTable& phases, bool real_boot);

  // Opens the timer; at start-up, since later it could fail.
  absl::Status Prepare();

  // Begins, or with `force` hurries. 0, or EALREADY for a second request that is not forced.
  int Begin(EndAction action, bool force);
  bool under_way() const { return step_ != kNotBegun; }

  // Moves on as far as possible; does not return once the machine has ended.
  void Advance(uint64_t now);
  uint64_t next_deadline() const { return under_way() ? std::min(deadline_, poll_at_) : kNever; }
  void OnChildExit(pid_t pid, int code, int value);

 private:
  static constexpr size_t kNotBegun = SIZE_MAX;
  void OnReady(uint32_t events) override;  // the forcing timer
  void ArmForce(uint64_t after);
  void ForkForcer(uint64_t after);
  void Enter(size_t step, uint64_t now);
  void BeginStep(uint64_t now);
  bool StepDone();
  void Overdue(uint64_t now);
  void Leave(bool in_time);
  void StopServices(uint64_t now);
  bool IsOfStep(const Service& service) const;
  [[noreturn]] void End();

  EventLoop& loop_;
  Supervisor& supervisor_;
  PhaseTable& phases_;
  bool real_boot_;
  UniqueFd timer_;
  EndAction action_ = EndAction::kReboot;
  bool forced_ = false;
  size_t step_ = kNotBegun;
  size_t phase_ = 0;
  uint64_t deadline_ = kNever;
  uint64_t poll_at_ = kNever;
  bool used_force_ = false;
  pid_t task_ = -1;
  int task_answer_ = -1;
};

}  // namespace stele::init
