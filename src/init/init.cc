#include "init/init.h"

#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <csignal>
#include <new>

#include "init/log.h"
#include "init/memory.h"

namespace stele::init {

Init::Init(Parts parts)
    : parts_(std::move(parts)),
      supervisor_({.loop = &parts_.loop, .spawn = &parts_.spawn, .cgroups = &parts_.cgroups}, *this),
      control_(parts_.loop, supervisor_, parts_.phases, *this),
      ending_(parts_.loop, supervisor_, parts_.phases, parts_.real_boot) {}

absl::Status Init::Prepare() {
  // Ctrl-alt-del becomes SIGINT; outside of the first PID namespace this is refused and not needed.
  if (parts_.real_boot) ::reboot(RB_DISABLE_CAD);
  sigset_t wanted;
  sigemptyset(&wanted);
  for (int signal : {SIGCHLD, SIGTERM, SIGINT, SIGPWR}) sigaddset(&wanted, signal);
  if (::sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) return ErrnoStatus("block signals");
  signals_ = UniqueFd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_.ok()) return ErrnoStatus("make a signal descriptor");
  RETURN_IF_ERROR(parts_.loop.Add(signals_.get(), EPOLLIN, this));
  return ending_.Prepare();
}

absl::Status Init::StartMachined(const Settings& settings) {
  RETURN_IF_ERROR(supervisor_.Define(settings.machined));
  supervisor_.Start(kMachined);
  return absl::OkStatus();
}

void Init::OnReady(uint32_t) {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGCHLD) continue;  // Turn reaps whatever woke it
    // The first asks nicely, the second means it.
    Log(Level::kNotice, "got signal %u", info.ssi_signo);
    EndMachine(info.ssi_signo == SIGPWR ? EndAction::kPowerOff : EndAction::kReboot, ending_.under_way());
  }
}

int Init::EndMachine(EndAction action, bool force) {
  int error = ending_.Begin(action, force);
  return error == EALREADY ? 0 : error;  // it is on its way, as asked
}

void Init::OtherExited(pid_t pid, int code, int value) {
  ending_.OnChildExit(pid, code, value);
  if (pid == task_) {
    task_ = -1;
    bool good = code == CLD_EXITED && value == 0;
    parts_.phases.End(task_phase_, good ? kPhaseDone : kPhaseFailed, good ? "" : "see the kernel log");
  }
}

int Init::WaitMilliseconds() const {
  if (more_to_reap_) return 0;
  uint64_t next =
      std::min({supervisor_.next_deadline(), ending_.next_deadline(), parts_.watchdog.next_deadline(), release_at_});
  if (next == kNever) return -1;
  uint64_t now = Now();
  if (next <= now) return 0;
  return static_cast<int>(std::min<uint64_t>((next - now) / kMillisecond + 1, 3'600'000));
}

// The dead first, then what others want, then time.
void Init::Turn() {
  absl::Status status = parts_.loop.Wait(WaitMilliseconds());
  if (parts_.loop.pending() > 0) release_at_ = Now() + kQuiet;
  if (!status.ok()) Log(Level::kError, "%s", std::string(status.message()).c_str());
  more_to_reap_ = supervisor_.Reap();
  parts_.loop.Dispatch();
  uint64_t now = Now();
  supervisor_.RunTimers(now, control_.connected());
  ending_.Advance(now);
  control_.Flush();
  parts_.watchdog.Feed(now);
  if (now >= release_at_) {
    ReleaseMemory();
    release_at_ = kNever;
  }
}

void Init::Run() {
  while (true) {
    try {
      Turn();
    } catch (const std::bad_alloc&) {
      // Only what machined asks for allocates; what it asked is not done, and it will ask again.
      Log(Level::kError, "out of memory: a request of machined's was dropped");
      control_.Disconnect();
    }
  }
}

}  // namespace stele::init
