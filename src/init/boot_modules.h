// The kernel modules that the second stage loads, by a child beside everything else:
//
//   first    what machined reads first: fw_cfg with its configuration, the EFI variables. AwaitFirst waits for this;
//            the ESP's drivers follow at once
//   devices  what the devices ask for: disk, network, watchdog. machined waits for its disk by itself
//   modules  what pods need, by /usr/share/stele/modules, and what the processor's features ask for; not before the API
//            answers
//
// depmod's tables are read once. A driver that hangs takes the child with it: then what is left is
// loaded by a second one.
#pragma once

#include <sys/types.h>

#include "base/event_loop.h"
#include "init/cgroup.h"
#include "init/clock.h"
#include "init/phases.h"

namespace stele::init {

class BootModules : private FdHandler {
 public:
  static constexpr uint64_t kFirstPatience = 2 * kSecond;
  static constexpr uint64_t kDevicesDeadline = 10 * kSecond;
  static constexpr uint64_t kHeld = 5 * kSecond;  // so long at most the API goes first

  BootModules(EventLoop& loop, PhaseTable& phases, const CgroupTree& cgroups)
      : loop_(loop), phases_(phases), cgroups_(cgroups) {}
  ~BootModules() override { ClosePipe(); }

  // Sets what a network device copies when it is made, and starts the child. Where `real_boot` is false everything is
  // skipped.
  void Start(bool real_boot);
  // Returns once `first` is loaded, or kFirstPatience has passed.
  void AwaitFirst();
  // What waits for modules need not wait (any longer).
  bool done() const { return state_ == State::kDone; }
  bool devices_done() const { return state_ != State::kDevices; }
  // The API answers, or never will: go on.
  void Hurry();

  uint64_t next_deadline() const { return deadline_; }
  void OnDeadline(uint64_t now);
  void OnChildExit(pid_t pid, int code, int value);

 private:
  enum class State : uint8_t { kDevices, kModules, kDone };
  void OnReady(uint32_t events) override;  // the child's pipe
  void StartChild(bool with_devices);
  void DevicesEnded(PhaseState state, absl::string_view message);
  void Hold();
  void SetFrozen(absl::string_view frozen);
  void ClosePipe();

  EventLoop& loop_;
  PhaseTable& phases_;
  const CgroupTree& cgroups_;
  UniqueFd pipe_, group_;
  pid_t child_ = -1;
  State state_ = State::kDevices;
  bool hurried_ = false;
  uint64_t deadline_ = kNever;
  size_t devices_phase_ = SIZE_MAX, modules_phase_ = SIZE_MAX;
};

}  // namespace stele::init
