#include "init/ending.h"

#include <fcntl.h>
#include <linux/reboot.h>
#include <sys/reboot.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <cstring>

#include "init/log.h"
#include "init/task.h"
#include "init/unmount.h"

namespace stele::init {
namespace {

enum class Kind : uint8_t { kStop, kKillAll, kUnmount, kSync };

struct Step {
  const char* name;
  Kind kind;
  uint32_t deadline_ms;     // then comes force
  uint32_t forced_ms;       // the same in a forced ending; 0: the step is left out
  const char* services[3];  // of kStop; none: all that is left but the two daemons
};

// The kubelet first, or it starts again what we stop. The workload's reaper tells its pods to end
// and takes what is left of them along. machined and apid go last: they answer till then.
constexpr Step kSteps[] = {
    {"stop-kubelet", Kind::kStop, 2'000, 0, {"kubelet"}},
    {"stop-containerd", Kind::kStop, 2'500, 0, {"containerd"}},
    {"stop-workload", Kind::kStop, 7'500, 0, {"workload"}},
    {"stop-services", Kind::kStop, 2'500, 0, {}},
    {"stop-daemons", Kind::kStop, 2'000, 0, {"apid", "machined"}},
    {"kill-all", Kind::kKillAll, 1'000, 400, {}},
    {"unmount", Kind::kUnmount, 5'000, 1'600, {}},
    {"sync", Kind::kSync, 3'000, 1'600, {}},
};
constexpr size_t kStepCount = sizeof kSteps / sizeof kSteps[0];
constexpr uint32_t kAfterKillMs = 500;  // a killed service's time to be gone

constexpr uint64_t TotalMs(bool forced) {
  uint64_t total = 0;
  for (const Step& step : kSteps) {
    total += forced ? step.forced_ms : step.deadline_ms + (step.kind == Kind::kStop ? kAfterKillMs : 0);
  }
  return total;
}
static_assert(TotalMs(false) * kMillisecond <= Ending::kTotal, "the timer would cut the sequence off");
static_assert(TotalMs(true) * kMillisecond <= Ending::kTotalForced, "the timer would cut the sequence off");

int Command(EndAction action) {
  switch (action) {
    case EndAction::kReboot:
      return RB_AUTOBOOT;
    case EndAction::kPowerOff:
      return RB_POWER_OFF;
    case EndAction::kHalt:
      return RB_HALT_SYSTEM;
    case EndAction::kKexec:
      return RB_KEXEC;
  }
  return RB_AUTOBOOT;
}

// Returns only where it is not allowed.
void Reboot(EndAction action) {
  ::reboot(Command(action));
  // No kernel was loaded, or it cannot be started.
  if (action == EndAction::kKexec) ::reboot(RB_AUTOBOOT);
}

// Unmounts until `argument`, whose lowest bit says whether the machine is ours alone.
int UnmountTask(uint64_t argument) {
  return UnmountAll({.deadline_ns = argument & ~uint64_t{1}, .whole_machine = (argument & 1) != 0});
}

int SyncTask(uint64_t) {
  ::sync();
  return 0;
}

// Waits, then ends the machine without asking anybody.
int ForceTask(uint64_t argument) {
  uint64_t wait = argument >> 2;
  timespec time = {.tv_sec = static_cast<time_t>(wait / kSecond), .tv_nsec = static_cast<long>(wait % kSecond)};
  while (::nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
  Reboot(static_cast<EndAction>(argument & 3));
  return 1;
}

bool HasChildren() {
  siginfo_t info;
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

}  // namespace

Ending::Ending(EventLoop& loop, Supervisor& supervisor, PhaseTable& phases, bool real_boot)
    : loop_(loop), supervisor_(supervisor), phases_(phases), real_boot_(real_boot) {}

absl::Status Ending::Prepare() {
  timer_ = UniqueFd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer_.ok()) return ErrnoStatus("make the forcing timer");
  return loop_.Add(timer_.get(), EPOLLIN, this);
}

int Ending::Begin(EndAction action, bool force) {
  if (under_way() && !force) return EALREADY;
  if (under_way() && forced_) return 0;
  action_ = action;
  forced_ = force;
  supervisor_.BeginEnding(force);
  static constexpr const char* kNames[] = {"reboot", "power off", "halt", "reboot by kexec"};
  Log(Level::kNotice, "%s%s", kNames[static_cast<size_t>(action)], force ? ", forced" : "");
  ArmForce(force ? kTotalForced : kTotal);
  uint64_t now = Now();
  if (!under_way()) {
    step_ = 0;
    Enter(0, now);
  } else if (kSteps[step_].forced_ms == 0) {
    Leave(false);
    Enter(step_ + 1, now);
  } else {
    deadline_ = std::min(deadline_, now + kSteps[step_].forced_ms * kMillisecond);
  }
  return 0;
}

void Ending::ArmForce(uint64_t after) {
  itimerspec time = {};
  time.it_value.tv_sec = static_cast<time_t>(after / kSecond);
  time.it_value.tv_nsec = static_cast<long>(after % kSecond);
  ::timerfd_settime(timer_.get(), 0, &time, nullptr);
  ForkForcer(after + 300 * kMillisecond);
}

void Ending::ForkForcer(uint64_t after) { StartTask(ForceTask, after << 2 | static_cast<uint64_t>(action_)); }

void Ending::OnReady(uint32_t) {
  Log(Level::kError, "the end of the machine took too long: forced");
  End();
}

bool Ending::IsOfStep(const Service& service) const {
  const Step& step = kSteps[step_];
  const std::string& name = service.spec().name;
  if (step.services[0] == nullptr) return name != "apid" && name != kMachined;
  for (const char* one : step.services) {
    if (one != nullptr && name == one) return true;
  }
  return false;
}

void Ending::Enter(size_t step, uint64_t now) {
  while (step < kStepCount && forced_ && kSteps[step].forced_ms == 0) ++step;
  if (step >= kStepCount) End();
  step_ = step;
  used_force_ = false;
  task_answer_ = -1;
  uint32_t limit = forced_ ? kSteps[step].forced_ms : kSteps[step].deadline_ms;
  deadline_ = now + limit * kMillisecond;
  poll_at_ = kNever;
  phase_ = phases_.Begin(kSteps[step].name, limit);
  BeginStep(now);
}

void Ending::BeginStep(uint64_t now) {
  switch (kSteps[step_].kind) {
    case Kind::kStop:
      StopServices(now);
      return;
    case Kind::kKillAll:
      ::kill(-1, SIGKILL);
      poll_at_ = now + 50 * kMillisecond;
      return;
    case Kind::kUnmount:
      task_ = StartTask(UnmountTask, (deadline_ & ~uint64_t{1}) | (real_boot_ ? 1 : 0));
      return;
    case Kind::kSync:
      task_ = StartTask(SyncTask, 0);
      return;
  }
}

void Ending::StopServices(uint64_t now) {
  for (const auto& service : supervisor_.services()) {
    if (IsOfStep(*service)) service->StopForGood(now, kSteps[step_].deadline_ms);
  }
}

bool Ending::StepDone() {
  switch (kSteps[step_].kind) {
    case Kind::kStop:
      for (const auto& service : supervisor_.services()) {
        if (IsOfStep(*service) && service->has_process()) return false;
      }
      return true;
    case Kind::kKillAll:
      return !HasChildren();
    case Kind::kUnmount:
    case Kind::kSync:
      return task_ <= 0;
  }
  return true;
}

void Ending::Overdue(uint64_t now) {
  used_force_ = true;
  if (kSteps[step_].kind == Kind::kStop) {
    for (const auto& service : supervisor_.services()) {
      if (IsOfStep(*service)) service->Kill();
    }
    deadline_ = now + kAfterKillMs * kMillisecond;
  } else if (task_ > 0) {
    ::kill(task_, SIGKILL);  // stuck in the kernel, it stays; we do not
    task_ = -1;
  }
}

void Ending::Leave(bool in_time) {
  const Step& step = kSteps[step_];
  const char* message = "";
  bool good = in_time;
  if (!in_time) {
    message = "force was used";
  } else if (step.kind == Kind::kUnmount && task_answer_ != 0) {
    good = false;
    message = task_answer_ & kDeviceBusy ? "device busy" : task_answer_ & kDetached ? "some detached" : "failed";
  }
  phases_.End(phase_, good ? kPhaseDone : kPhaseFailed, message);
  const Phase& phase = phases_[std::min(phase_, phases_.size() - 1)];
  Log(good ? Level::kInfo : Level::kWarning, "%s: %llu ms%s%s", step.name,
      static_cast<unsigned long long>((phase.end_ns - phase.start_ns) / kMillisecond), *message ? ", " : "", message);
  // What reboots when we are stuck was killed with all the rest.
  if (step.kind == Kind::kKillAll) {
    itimerspec left = {};
    ::timerfd_gettime(timer_.get(), &left);
    ForkForcer(static_cast<uint64_t>(left.it_value.tv_sec) * kSecond + 500 * kMillisecond);
  }
}

void Ending::Advance(uint64_t now) {
  while (under_way()) {
    if (StepDone()) {
      Leave(!used_force_);
      Enter(step_ + 1, now);
      continue;
    }
    if (now >= poll_at_) {
      poll_at_ = now + 50 * kMillisecond;
      ::kill(-1, SIGKILL);  // who was just being forked
    }
    if (now < deadline_) return;
    bool again = kSteps[step_].kind == Kind::kStop && !used_force_;
    Overdue(now);
    if (again) return;
    Leave(false);
    Enter(step_ + 1, now);
  }
}

void Ending::OnChildExit(pid_t pid, int code, int value) {
  if (pid != task_) return;
  task_ = -1;
  task_answer_ = code == CLD_EXITED ? value : 255;
}

void Ending::End() {
  phases_.End(phase_, kPhaseDone, "");
  Reboot(action_);
  // Not allowed, then. As PID 1 of a namespace, leaving ends it just as well; on a machine the
  // kernel is asked once more, and then made to panic, which reboots (panic= on the command line).
  int error = errno;
  Log(Level::kError, "reboot: errno %d", error);
  if (real_boot_) {
    UniqueFd trigger(::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC));
    if (trigger.ok())
      (void)!::write(trigger.get(), action_ == EndAction::kReboot || action_ == EndAction::kKexec ? "b" : "o", 1);
    timespec wait = {.tv_sec = 2, .tv_nsec = 0};
    ::nanosleep(&wait, nullptr);
  }
  ::_exit(0);
}

}  // namespace stele::init
