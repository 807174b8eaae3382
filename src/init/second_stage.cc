#include "init/second_stage.h"

#include <fcntl.h>
#include <link.h>
#include <linux/magic.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>

#include "base/file.h"
#include "init/crash.h"
#include "init/first_stage.h"
#include "init/init.h"
#include "init/log.h"
#include "init/modules.h"
#include "init/mounts.h"
#include "init/sysctls.h"
#include "init/task.h"

namespace stele::init {
namespace {

constexpr char kModuleList[] = "/usr/share/stele/modules";

constexpr uint64_t kDevicesDeadlineMs = 10'000;

// How a phase ended.
struct Result {
  PhaseState state = kPhaseDone;
  std::string message;
};
Result From(const absl::Status& status) {
  return status.ok() ? Result{} : Result{kPhaseFailed, std::string(status.message())};
}
// Missing permission is no failure where nobody promised it.
Result Tolerate(const Init::Parts& parts, Result result) {
  if (!parts.real_boot && result.state == kPhaseFailed) result.state = kPhaseSkipped;
  return result;
}

// The kernel gives the first PID namespace this inode, on every version.
bool IsFirstPidNamespace() {
  struct stat info;
  return ::stat("/proc/self/ns/pid", &info) == 0 && info.st_ino == 0xEFFFFFFC;
}

void Collect(const absl::Status& status, std::string& problems) {
  if (!status.ok()) absl::StrAppend(&problems, problems.empty() ? "" : "; ", std::string(status.message()));
}

Result Mounts(Init::Parts& parts) {
  std::string problems;
  if (parts.real_boot) {
    for (const MountSpec& mount : KernelMounts()) Collect(MountUnlessMounted(mount), problems);
  } else {
    if (::access("/dev/null", F_OK) != 0) Collect(MakeSmallDev(), problems);
    for (const MountSpec& mount : KernelMounts()) {
      if (strcmp(mount.target, "/dev") != 0) Collect(MountUnlessMounted(mount), problems);
    }
  }
  for (const MountSpec& mount : MoreMounts()) {
    absl::Status status = MountUnlessMounted(mount);
    if (!status.ok() && strcmp(mount.type, "bpf") == 0) continue;  // not every kernel has it, and few need it
    Collect(status, problems);
  }
  MakeDevLinks();
  // Pods' volumes are made here and must be seen in the workload's namespace.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) Collect(ErrnoStatus("share /"), problems);
  Collect(MakeDirectories("/run/stele"), problems);
  return problems.empty() ? Result{} : Result{kPhaseFailed, problems};
}

Result Limits(Init::Parts& parts) {
  rlimit files = {.rlim_cur = 1024, .rlim_max = 524288};  // what services begin with
  ::setrlimit(RLIMIT_NOFILE, &files);
  absl::Status status = WriteControlFile("/proc/self/oom_score_adj", "-1000");
  if (status.ok()) return {};
  parts.spawn.lenient_limits = !parts.real_boot;
  return {kPhaseFailed, "no CAP_SYS_RESOURCE: oom_score_adj and higher limits of services are not applied"};
}

bool IsCgroup2(const char* path) {
  struct statfs info;
  return ::statfs(path, &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

Result Cgroups(Init::Parts& parts) {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
    if (!IsCgroup2(path)) continue;
    absl::StatusOr<CgroupTree> tree = CgroupTree::Open(path);
    if (!tree.ok()) return From(tree.status());
    parts.cgroups = *std::move(tree);
    if (parts.cgroups.controllers().empty()) {
      return {kPhaseDone, absl::StrCat("no controllers in ", path, ": limits of services are not kept")};
    }
    return {kPhaseDone, parts.cgroups.controllers()};
  }
  return {kPhaseFailed, "no cgroup2: services are killed by session, limits are not kept"};
}

// The image's /etc below, memory above: changes work and are gone with the boot.
Result EtcOverlay(Init::Parts&) {
  if (::access("/etc", F_OK) != 0) return {kPhaseSkipped, "the root has no /etc"};
  if (absl::Status status = MakeDirectories("/run/stele/etc/upper"); !status.ok()) return From(status);
  if (absl::Status status = MakeDirectories("/run/stele/etc/work"); !status.ok()) return From(status);
  ::chmod("/run/stele/etc", 0700);
  const char* options = "lowerdir=/etc,upperdir=/run/stele/etc/upper,workdir=/run/stele/etc/work";
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("etc", "/etc", "overlay", kFlags, options) == 0) return {};
  // A user namespace may only use attributes of its own.
  if (::mount("etc", "/etc", "overlay", kFlags, absl::StrCat(options, ",userxattr").c_str()) == 0) return {};
  return From(ErrnoStatus("mount the overlay on /etc"));
}

Result HostName(Init::Parts&) {
  utsname name;
  ::uname(&name);
  if (strcmp(name.nodename, "(none)") != 0 && name.nodename[0] != '\0') return {kPhaseDone, name.nodename};
  // With "(none)" the kubelet rejects static pods for ever.
  return ::sethostname("stele", 5) == 0 ? Result{} : From(ErrnoStatus("set the host name"));
}

Result Sysctls(Init::Parts& parts) {
  if (!parts.real_boot) return {kPhaseSkipped, "not the machine's PID 1"};
  size_t failed = ApplySysctls(SysctlTime::kBoot);
  return failed == 0 ? Result{} : Result{kPhaseFailed, absl::StrCat(failed, " settings refused, see the kernel log")};
}

int LoadDeviceModules(uint64_t) {
  absl::StatusOr<Modules> modules = Modules::Read(ModuleDirectory());
  if (!modules.ok()) {
    Log(Level::kWarning, "%s", std::string(modules.status().message()).c_str());
    return 1;
  }
  ModuleLoader loader(*std::move(modules));
  loader.LoadForDevices(/*processor=*/false);
  return 0;
}

// Drivers of what is plugged in: machined looks for its disk and its network at once.
Result Devices(Init::Parts& parts) {
  if (!parts.real_boot) return {kPhaseSkipped, "not the machine's PID 1"};
  pid_t task = StartTask(LoadDeviceModules, 0);
  if (task < 0) return {kPhaseFailed, "make a process"};
  uint64_t until = Now() + kDevicesDeadlineMs * kMillisecond;
  int status = 0;
  while (::waitpid(task, &status, WNOHANG) != task) {
    if (Now() >= until) return {kPhaseFailed, "a driver does not come up; going on without it"};
    timespec wait = {.tv_sec = 0, .tv_nsec = 2 * kMillisecond};
    ::nanosleep(&wait, nullptr);
  }
  return status == 0 ? Result{} : Result{kPhaseFailed, "see the kernel log"};
}

Result OpenWatchdog(Init::Parts& parts) {
  if (!parts.real_boot) return {kPhaseSkipped, "not the machine's PID 1"};
  absl::Status status = parts.watchdog.Open();
  if (absl::IsNotFound(status)) return {kPhaseSkipped, "no watchdog"};
  return From(status);
}

// In this order, each needing those before it. Everything that can wait comes after machined.
struct Step {
  const char* name;
  Result (*run)(Init::Parts& parts);
  uint64_t deadline_ms = 0;  // none: it only asks the kernel, which answers at once
};
constexpr Step kSteps[] = {
    {"mounts", Mounts},
    {"limits", Limits},
    {"cgroups", Cgroups},
    {"etc-overlay", EtcOverlay},
    {"host-name", HostName},
    {"sysctls", Sysctls},
    {"devices", Devices, kDevicesDeadlineMs},
    {"watchdog", OpenWatchdog},
};

void RunStep(const Step& step, Init::Parts& parts) {
  size_t phase = parts.phases.Begin(step.name, step.deadline_ms);
  Result result = Tolerate(parts, step.run(parts));
  parts.phases.End(phase, result.state, result.message);
  if (result.state == kPhaseFailed || result.state == kPhaseSkipped) {
    Log(result.state == kPhaseFailed ? Level::kError : Level::kInfo, "%s: %s%s", step.name,
        result.state == kPhaseFailed ? "" : "skipped: ", result.message.c_str());
  }
}

// What pods may need, by name; and the settings that exist only then.
int LoadListedModules(uint64_t) {
  absl::StatusOr<Modules> modules = Modules::Read(ModuleDirectory());
  int failed = 0;
  if (modules.ok()) {
    ModuleLoader loader(*std::move(modules));
    for (const std::string& name : ReadModuleList(kModuleList)) {
      absl::Status status = loader.Load(name);
      if (status.ok()) continue;
      Log(Level::kWarning, "module %s: %s", name.c_str(), std::string(status.message()).c_str());
      ++failed;
    }
    loader.LoadForDevices(/*processor=*/true);
  }
  ApplySysctls(SysctlTime::kAfterModules);
  return failed == 0 ? 0 : 1;
}

void StartLoadingModules(Init& init, bool real_boot) {
  size_t phase = init.phases().Begin("modules", 0);
  if (!real_boot) return init.phases().End(phase, kPhaseSkipped, "not the machine's PID 1");
  pid_t task = StartTask(LoadListedModules, 0);
  if (task < 0) return init.phases().End(phase, kPhaseFailed, "make a process");
  init.WatchTask(task, phase);
}

void AdoptFirstStage(PhaseTable& phases) {
  absl::StatusOr<std::string> text = ReadFile(kFirstStagePhases);
  if (!text.ok()) return;
  for (Phase& phase : ParsePhases(*text)) phases.Store(std::move(phase));
}

}  // namespace

void GiveUp(const char* why) {
  Log(Level::kError, "cannot boot: %s", why);
  if (!IsFirstPidNamespace()) ::_exit(1);
  Log(Level::kError, "rebooting in 5 s");
  timespec wait = {.tv_sec = 5, .tv_nsec = 0};
  ::nanosleep(&wait, nullptr);
  ::reboot(RB_AUTOBOOT);
  ::_exit(1);
}

void RunSecondStage(const Settings* settings) {
  ::umask(022);
  (void)!::chdir("/");
  MountUnlessMounted(KernelMounts()[0]).IgnoreError();  // without /proc every phase will say so
  bool real_boot = IsFirstPidNamespace();
  OpenLog(real_boot);

  absl::StatusOr<EventLoop> loop = EventLoop::Create();
  if (!loop.ok()) GiveUp(std::string(loop.status().message()).c_str());
  Init::Parts parts = {.loop = *std::move(loop), .real_boot = real_boot};
  AdoptFirstStage(parts.phases);
  for (const Step& step : kSteps) {
    RunStep(step, parts);
    // After the mounts there is a /dev/null, and a /proc for the rest.
    if (step.run == Mounts) {
      OpenLog(real_boot);
      parts.spawn = SpawnEnvironment::Open();
    }
  }
  // For ever: everything points into it.
  static Init init(std::move(parts));
  if (absl::Status status = init.Prepare(); !status.ok()) GiveUp(std::string(status.message()).c_str());
  size_t phase = init.phases().Begin("machined", 0);
  absl::Status status = init.StartMachined(settings != nullptr ? *settings : Settings::Shipped(real_boot));
  init.phases().End(phase, status.ok() ? kPhaseDone : kPhaseFailed, status.message());
  StartLoadingModules(init, real_boot);
  init.Run();
}

}  // namespace stele::init
