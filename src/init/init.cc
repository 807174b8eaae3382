#include "init/init.h"

#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <new>

#include "base/file.h"
#include "base/first_services.h"
#include "init/efi.h"
#include "init/log.h"
#include "init/memory.h"

namespace stele::init {
namespace {

// The service that needs what pods need: it makes chains in nf_tables, then starts pods.
constexpr char kNeedsModules[] = "kubelet";
constexpr uint64_t kModulesPatience = 60 * kSecond;

// apid watches it from its start; machined fills it.
absl::Status MakeFolderOfKeys() {
  RETURN_IF_ERROR(MakeDirectories(kApidKeys, 0500));
  if (::chown(kApidKeys, kApidUser, kApidUser) != 0) return ErrnoStatus("give ", kApidKeys, " to apid");
  return absl::OkStatus();
}

}  // namespace

Init::Init(Parts& parts)
    : parts_(parts),
      supervisor_({.loop = &parts_.loop, .spawn = &parts_.spawn, .cgroups = &parts_.cgroups}, *this),
      control_(parts_.loop, supervisor_, parts_.phases, *this),
      ending_(parts_.loop, supervisor_, parts_.phases, parts_.real_boot),
      modules_(parts_.loop, parts_.phases, parts_.cgroups),
      trial_(parts_.phases) {}

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

void Init::PrepareForMachined() {
  if (!parts_.real_boot || parts_.watchdog.opened() || !parts_.command_line.watchdog) OpenWatchdog();
  modules_.AwaitFirst();
  if (!modules_.done()) supervisor_.Hold(kNeedsModules, Now() + kModulesPatience);
  if (parts_.real_boot) {
    // NOT_FOUND: no EFI here. Else what it is needed for says that it is not there.
    MountEfiVariables().IgnoreError();
    ReadLoaderFacts(parts_.facts, parts_.command_line.kexec);
  }
  parts_.facts.watchdog_reset = parts_.watchdog.reset_machine();
  WriteFacts();
}

void Init::StartFirstServices() {
  size_t phase = parts_.phases.Begin("machined", 0);
  // Without it apid waits in back-off until machined has made it.
  if (absl::Status folder = MakeFolderOfKeys(); !folder.ok())
    Log(Level::kError, "%s", std::string(folder.message()).c_str());
  absl::Status status;
  for (const ServiceSpec& spec : {MachinedSpec(parts_.real_boot), ApidSpec()}) {
    status.Update(supervisor_.Define(spec));
    supervisor_.Start(spec.name);
  }
  parts_.phases.End(phase, status.ok() ? kPhaseDone : kPhaseFailed, status.message());
  // Counted from the kernel's start, as the boot is that is on trial.
  if (parts_.facts.trial) trial_.Begin(0, parts_.command_line.trial_seconds);
}

void Init::WriteFacts() {
  absl::Status status = ReplaceFile(kBootFactsFile, FormatBootFacts(parts_.facts), 0600);
  if (!status.ok()) Log(Level::kError, "%s", std::string(status.message()).c_str());
}

// When the first stage had none: the driver may come with the devices.
void Init::OpenWatchdog() {
  watchdog_asked_ = true;
  size_t phase = parts_.phases.Begin("watchdog", 0);
  const char* skipped = nullptr;
  if (!parts_.real_boot) {
    skipped = "not the machine's PID 1";
  } else if (!parts_.command_line.watchdog) {
    skipped = "switched off on the command line";
  } else if (!parts_.watchdog.opened()) {
    absl::Status status = parts_.watchdog.Open(Watchdog::kTimeoutSeconds);
    if (!status.ok() && !absl::IsNotFound(status)) {
      Log(Level::kError, "watchdog: %s", std::string(status.message()).c_str());
      return parts_.phases.End(phase, kPhaseFailed, status.message());
    }
    if (!status.ok()) skipped = "no watchdog";
  }
  if (skipped != nullptr) Log(Level::kInfo, "watchdog: skipped: %s", skipped);
  parts_.phases.End(phase, skipped == nullptr ? kPhaseDone : kPhaseSkipped, skipped == nullptr ? "" : skipped);
}

// What waited for modules goes on.
void Init::NoteModules() {
  if (!watchdog_asked_ && modules_.devices_done()) {
    OpenWatchdog();
    if (parts_.watchdog.reset_machine()) {
      parts_.facts.watchdog_reset = true;
      WriteFacts();
    }
  }
  if (!modules_noted_ && modules_.done()) {
    modules_noted_ = true;
    supervisor_.EndHold();
  }
}

void Init::PhaseTold(const Phase& phase) {
  if (phase.name == "api" && phase.state >= kPhaseDone) modules_.Hurry();
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
  modules_.OnChildExit(pid, code, value);
  last_words_.OnChildExit(pid);
}

void Init::MachinedGone(uint64_t up_ms) {
  control_.PeerGone();
  trial_.NoteEnd(up_ms);
}

int Init::WaitMilliseconds() const {
  if (more_to_reap_) return 0;
  uint64_t next =
      std::min({supervisor_.next_deadline(), ending_.next_deadline(), parts_.watchdog.next_deadline(), release_at_,
                modules_.next_deadline(), trial_.next_deadline(), last_words_.next_deadline()});
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
  modules_.OnDeadline(now);
  NoteModules();
  supervisor_.RunTimers(now, control_.connected());
  if (trial_.Failed(now)) last_words_.Begin(now, parts_.facts, trial_.reason(), supervisor_.Find(kMachined));
  if (last_words_.Done(now)) EndMachine(EndAction::kReboot, /*force=*/false);
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
