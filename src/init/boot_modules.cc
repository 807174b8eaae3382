#include "init/boot_modules.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "init/log.h"
#include "init/modules.h"
#include "init/sysctls.h"
#include "init/task.h"

namespace stele::init {
namespace {

constexpr char kModuleList[] = "/usr/share/stele/modules";
constexpr const char* kFirst[] = {"qemu_fw_cfg", "efivarfs"};
// The ESP, which machined mounts as soon as it has looked at its disk.
constexpr const char* kSoon[] = {"nls_cp437", "nls_ascii", "vfat"};
// What no device asks for and nobody lists: where a panic's log is kept.
constexpr const char* kLast[] = {"efi_pstore"};
constexpr char kCgroup[] = "modules";
constexpr char kFirstDone = 'f', kDevicesDone = 'd';

// 0; 1 with a line in the log. A kernel without the module does without what it is for.
int LoadOne(ModuleLoader& loader, const char* name, bool listed) {
  absl::Status status = loader.Load(name);
  // Not there at all is news for what the image lists; fw_cfg without its hardware says ENODEV.
  if (status.ok() || (!listed && (absl::IsNotFound(status) || status.code() == absl::ErrnoToStatusCode(ENODEV))))
    return 0;
  Log(Level::kWarning, "module %s: %s", name, std::string(status.message()).c_str());
  return 1;
}

int LoadListed(ModuleLoader& loader) {
  int failed = 0;
  for (const std::string& name : ReadModuleList(kModuleList)) failed |= LoadOne(loader, name.c_str(), true);
  for (const char* name : kLast) failed |= LoadOne(loader, name, false);
  loader.LoadForDevices(/*processor=*/true);
  return failed;
}

// `argument`: the pipe to tell on, or 0 for the listed ones alone.
int LoadAll(uint64_t argument) {
  absl::StatusOr<Modules> modules = Modules::Read(ModuleDirectory());
  if (!modules.ok()) {
    Log(Level::kWarning, "%s", std::string(modules.status().message()).c_str());
    ApplySysctls(SysctlTime::kAfterModules);
    return 1;
  }
  ModuleLoader loader(*std::move(modules));
  if (argument != 0) {
    int pipe = static_cast<int>(argument);
    for (const char* name : kFirst) LoadOne(loader, name, false);
    (void)!::write(pipe, &kFirstDone, 1);
    for (const char* name : kSoon) LoadOne(loader, name, false);
    loader.LoadForDevices(/*processor=*/false);
    (void)!::write(pipe, &kDevicesDone, 1);
  }
  int failed = LoadListed(loader);
  ApplySysctls(SysctlTime::kAfterModules);
  return failed;
}

}  // namespace

void BootModules::Start(bool real_boot) {
  devices_phase_ = phases_.Begin("devices", kDevicesDeadline / kMillisecond);
  if (!real_boot) {
    Log(Level::kInfo, "devices: skipped: not the machine's PID 1");
    phases_.End(devices_phase_, kPhaseSkipped, "not the machine's PID 1");
    modules_phase_ = phases_.Begin("modules", 0);
    phases_.End(modules_phase_, kPhaseSkipped, "not the machine's PID 1");
    state_ = State::kDone;
    return;
  }
  // Here and not in the child, which may fail or hang before it came to them.
  ApplySysctls(SysctlTime::kBeforeDevices);
  StartChild(/*with_devices=*/true);
}

void BootModules::StartChild(bool with_devices) {
  int ends[2] = {-1, -1};
  if (with_devices && ::pipe2(ends, O_CLOEXEC) != 0) with_devices = false;
  UniqueFd read_end(ends[0]), write_end(ends[1]);
  pid_t child = StartTask(LoadAll, with_devices ? static_cast<uint64_t>(write_end.get()) : 0, write_end.get());
  write_end.reset();
  if (child < 0) {
    Log(Level::kError, "no process to load modules with: errno %d", -child);
    if (state_ == State::kDevices) DevicesEnded(kPhaseFailed, "make a process");
    phases_.End(modules_phase_, kPhaseFailed, "make a process");
    state_ = State::kDone;
    deadline_ = kNever;
    return;
  }
  child_ = child;
  if (!with_devices) return;
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  pipe_ = std::move(read_end);
  deadline_ = Now() + kDevicesDeadline;
  // Unwatched, the devices' deadline looks once.
  loop_.Add(pipe_.get(), EPOLLIN, this).IgnoreError();
}

void BootModules::AwaitFirst() {
  if (!pipe_.ok()) return;
  pollfd first = {.fd = pipe_.get(), .events = POLLIN};
  ::poll(&first, 1, static_cast<int>(kFirstPatience / kMillisecond));
}

void BootModules::ClosePipe() {
  if (pipe_.ok()) loop_.Remove(pipe_.get(), this);
  pipe_.reset();
}

void BootModules::OnReady(uint32_t) {
  char news[8];
  ssize_t got = ::read(pipe_.get(), news, sizeof news);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  for (ssize_t i = 0; i < got; ++i) {
    if (news[i] == kDevicesDone && state_ == State::kDevices) DevicesEnded(kPhaseDone, "");
  }
  if (got <= 0 || state_ != State::kDevices) ClosePipe();  // its end is told by its exit
}

void BootModules::DevicesEnded(PhaseState state, absl::string_view message) {
  phases_.End(devices_phase_, state, message);
  if (state == kPhaseFailed) Log(Level::kError, "devices: %s", std::string(message).c_str());
  state_ = State::kModules;
  modules_phase_ = phases_.Begin("modules", 0);
  deadline_ = Now() + kHeld;
  Hold();
}

// Frozen, not only of little weight: each module that is loaded patches the kernel's text, which stops every processor,
// and what it takes of a second processor is missing to who starts there.
void BootModules::Hold() {
  if (hurried_ || child_ <= 0 || !cgroups_.ok() || cgroups_.Make(kCgroup, group_) != 0) return;
  char pid[16];
  int size = snprintf(pid, sizeof pid, "%d", child_);
  WriteCgroupSetting(group_.get(), "cgroup.procs", pid, static_cast<size_t>(size));
  SetFrozen("1");
}

void BootModules::SetFrozen(absl::string_view frozen) {
  if (group_.ok()) WriteCgroupSetting(group_.get(), "cgroup.freeze", frozen.data(), frozen.size());
}

void BootModules::Hurry() {
  hurried_ = true;
  if (state_ == State::kModules) deadline_ = kNever;
  SetFrozen("0");
}

void BootModules::OnDeadline(uint64_t now) {
  if (now < deadline_) return;
  if (state_ == State::kModules) return Hurry();
  if (pipe_.ok()) OnReady(0);
  if (state_ != State::kDevices) return;
  ClosePipe();
  child_ = -1;  // stuck in the kernel; when it ends, nobody minds
  DevicesEnded(kPhaseFailed, "a driver does not come up; going on without it");
  StartChild(/*with_devices=*/false);
}

void BootModules::OnChildExit(pid_t pid, int code, int value) {
  if (pid != child_) return;
  child_ = -1;
  if (pipe_.ok()) OnReady(0);  // what it still told
  ClosePipe();
  bool good = code == CLD_EXITED && value == 0;
  if (state_ == State::kDevices) DevicesEnded(kPhaseFailed, "see the kernel log");
  phases_.End(modules_phase_, good ? kPhaseDone : kPhaseFailed, good ? "" : "see the kernel log");
  state_ = State::kDone;
  deadline_ = kNever;
  group_.reset();
  if (cgroups_.ok()) cgroups_.Remove(kCgroup);
}

}  // namespace stele::init
