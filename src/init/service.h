// One supervised service.
//
// What it is wanted to be (desired_up) is apart from what it is (RunState):
//
//   kStopped ──Start──▶ kRunning ──its process ends──▶ kBackoff ──time──▶ kRunning
//      ▲                   │    └─(policy says enough)─▶ kFinished ──Start──▶ kRunning
//      │                 Stop, Restart
//      │                   ▼
//      └──desired down── kStopping ──desired up──▶ kRunning, at once
//
// kStopping: the stop signal was sent; at the deadline everything in the cgroup gets SIGKILL, again
// and again until the process is gone. A process that could not be made counts as one that ended.
// The end of another service never changes what this one is wanted to be.
//
// Reaping is the supervisor's: it peeks at the dead child, calls OnExit, then reaps, so that the
// pid cannot belong to anybody else while its group is killed. Nothing allocates after Define.
#pragma once

#include <memory>

#include "base/event_loop.h"
#include "base/init_protocol.h"
#include "init/backoff.h"
#include "init/cgroup.h"
#include "init/log_pipe.h"
#include "init/spawn.h"

namespace stele::init {

using init_protocol::ExitKind;
using init_protocol::RunState;
using init_protocol::ServiceState;

// What services share. Outlives them.
struct ServiceContext {
  EventLoop* loop = nullptr;
  const SpawnEnvironment* spawn = nullptr;
  const CgroupTree* cgroups = nullptr;
};

class Service : private FdHandler {
 public:
  // What a service asks of who owns it.
  class Owner {
   public:
    virtual ~Owner() = default;
    // A descriptor to pass before the listening sockets, or -1; machined has one.
    virtual int ControlDescriptor(Service& service) = 0;
    // The pidfd of a running service's process, or -1.
    virtual int FindProcess(const std::string& name) = 0;
    // The program was executed.
    virtual void Executed(Service& service) = 0;
  };

  Service(const ServiceContext& context, Owner& owner, ServiceSpec spec);
  ~Service() override;

  // Takes effect at the next start; stop signal, time-out and kill mode at once.
  void Define(ServiceSpec spec);
  const ServiceSpec& spec() const { return program_->spec(); }

  void Start(uint64_t now);
  // The same later, unless it is up already: until then it is in back-off.
  void StartAt(uint64_t when);
  void Stop(uint64_t now);
  void Restart(uint64_t now);
  // For the end of the machine: stops within `timeout_ms` if that is sooner, and never starts again.
  void StopForGood(uint64_t now, uint64_t timeout_ms);
  // What ends from now on stays ended.
  void NeverAgain() { for_good_ = true; }
  void Kill();  // SIGKILL now, whatever the state

  bool has_process() const { return state_.pid > 0; }
  pid_t pid() const { return state_.pid; }
  int pidfd() const { return pidfd_.get(); }
  bool executed() const { return has_process() && !status_.ok(); }
  // The process has ended, `code` and `value` as in siginfo_t, and is not reaped yet.
  void OnExit(uint64_t now, int code, int value);

  uint64_t next_deadline() const { return deadline_; }
  void OnDeadline(uint64_t now);

  LogPipe& log() { return log_; }
  const ServiceState& state();
  // Whether the state is other than when last asked.
  bool TakeChanged() { return std::exchange(changed_, false); }
  void MarkChanged() { changed_ = true; }

 private:
  void OnReady(uint32_t events) override;  // the status pipe
  bool ReadStatus();
  bool NoteExec();  // false when it was not executed yet
  void CloseStatus();
  void SpawnNow(uint64_t now);
  SpawnError OpenSockets();
  SpawnError TrySpawn();
  void Enter(RunState state, uint64_t deadline);
  void Ended(uint64_t now);  // decides what follows an end

  ServiceContext context_;
  Owner& owner_;
  std::unique_ptr<Program> program_;
  std::vector<std::pair<std::string, UniqueFd>> sockets_;  // by address
  LogPipe log_;
  ServiceState state_;
  Backoff backoff_;
  uint64_t deadline_ = kNever;
  UniqueFd pidfd_, cgroup_, status_;
  SpawnError failure_;
  bool group_killed_ = true;  // the group was killed once, or is somebody's of before us: not known
  bool for_good_ = false;
  bool changed_ = true;
};

}  // namespace stele::init
