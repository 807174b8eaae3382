// PID 1 once the machine is set up: one thread, one loop.
#pragma once

#include "init/control.h"
#include "init/ending.h"
#include "init/settings.h"
#include "init/watchdog.h"

namespace stele::init {

class Init : private Supervisor::Observer, private Control::MachineEnder, private FdHandler {
 public:
  // What was set up before the loop.
  struct Parts {
    EventLoop loop;
    CgroupTree cgroups;
    SpawnEnvironment spawn;
    PhaseTable phases;
    Watchdog watchdog;
    bool real_boot = false;
  };

  explicit Init(Parts parts);
  // Blocks the signals it wants and opens what it will need.
  absl::Status Prepare();
  // Starts machined.
  absl::Status StartMachined(const Settings& settings);
  // A task whose end is a phase's: modules that are loaded beside everything else.
  void WatchTask(pid_t task, size_t phase) { task_ = task, task_phase_ = phase; }
  PhaseTable& phases() { return parts_.phases; }

  [[noreturn]] void Run();

 private:
  int NewControlSocket() override { return control_.NewConnection(); }
  void MachinedGone() override { control_.PeerGone(); }
  void OtherExited(pid_t pid, int code, int value) override;
  int EndMachine(EndAction action, bool force) override;
  void TrialOver() override {}  // no boot is a trial yet
  void OnReady(uint32_t events) override;  // signals

  void Turn();
  int WaitMilliseconds() const;

  Parts parts_;
  Supervisor supervisor_;
  Control control_;
  Ending ending_;
  UniqueFd signals_;
  static constexpr uint64_t kQuiet = 2 * kSecond;  // without an event, before memory is given back
  uint64_t release_at_ = 0;
  bool more_to_reap_ = true;
  pid_t task_ = -1;
  size_t task_phase_ = SIZE_MAX;
};

}  // namespace stele::init
