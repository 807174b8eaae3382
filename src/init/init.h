// PID 1 once the machine is set up: one thread, one loop.
#pragma once

#include "base/boot_facts.h"
#include "init/boot_modules.h"
#include "init/command_line.h"
#include "init/control.h"
#include "init/ending.h"
#include "init/last_words_task.h"
#include "init/trial.h"
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
    CommandLine command_line;
    BootFacts facts;
    bool real_boot = false;
  };

  // Borrows `parts`, which may be filled until PrepareForMachined.
  explicit Init(Parts& parts);
  // Starts the child that loads what machined reads first, then what the devices ask for.
  void StartModules() { modules_.Start(parts_.real_boot); }
  // Blocks the signals it wants and opens what it will need.
  absl::Status Prepare();
  // What machined finds when it begins: its first modules, for which this waits, the watchdog running, the facts of
  // this boot.
  void PrepareForMachined();
  // Starts machined and apid, and the trial if this boot is one.
  void StartFirstServices();

  [[noreturn]] void Run();

 private:
  int NewControlSocket() override { return control_.NewConnection(); }
  void MachinedGone(uint64_t up_ms) override;
  void OtherExited(pid_t pid, int code, int value) override;
  int EndMachine(EndAction action, bool force) override;
  void TrialOver() override { trial_.Over(); }
  void MachinedConnected() override { trial_.NoteConnected(); }
  void PhaseTold(const Phase& phase) override;
  void OnReady(uint32_t events) override;  // signals

  void OpenWatchdog();
  void WriteFacts();
  void NoteModules();
  void Turn();
  int WaitMilliseconds() const;

  Parts& parts_;
  Supervisor supervisor_;
  Control control_;
  Ending ending_;
  BootModules modules_;
  Trial trial_;
  LastWordsTask last_words_;
  UniqueFd signals_;
  static constexpr uint64_t kQuiet = 2 * kSecond;  // without an event, before memory is given back
  uint64_t release_at_ = 0;
  bool more_to_reap_ = true;
  bool watchdog_asked_ = false;
  bool modules_noted_ = false;
};

}  // namespace stele::init
