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

#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "init/crash.h"
#include "init/first_stage.h"
#include "init/init.h"
#include "init/log.h"
#include "init/mounts.h"
#include "init/sysctls.h"

namespace stele::init {
namespace {

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
    if (!mount.optional) Collect(status, problems);
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

// In this order, each needing those before it.
struct Step {
  const char* name;
  Result (*run)(Init::Parts& parts);
};
// After these there is a /dev/null and a /proc, and services can be made.
constexpr Step kMounts = {"mounts", Mounts};
// Changes what Open found out.
constexpr Step kLimits = {"limits", Limits};
// Beside the child that loads modules.
constexpr Step kBesideModules[] = {
    {"cgroups", Cgroups}, {"etc-overlay", EtcOverlay}, {"host-name", HostName}, {"sysctls", Sysctls}};

void RunStep(const Step& step, Init::Parts& parts) {
  size_t phase = parts.phases.Begin(step.name, 0);  // no deadline: it only asks the kernel, which answers at once
  Result result = Tolerate(parts, step.run(parts));
  parts.phases.End(phase, result.state, result.message);
  if (result.state == kPhaseFailed || result.state == kPhaseSkipped) {
    Log(result.state == kPhaseFailed ? Level::kError : Level::kInfo, "%s: %s%s", step.name,
        result.state == kPhaseFailed ? "" : "skipped: ", result.message.c_str());
  }
}

// What the first stage left: its phases, what it found out, the watchdog that it started.
void AdoptFirstStage(Init::Parts& parts) {
  absl::StatusOr<std::string> text = ReadFile(kFirstStagePhases);
  if (!text.ok()) return;
  for (Phase& phase : ParsePhases(*text)) parts.phases.Store(std::move(phase));
  if (absl::StatusOr<BootFacts> facts = ReadBootFacts(); facts.ok()) parts.facts = *std::move(facts);
  const char* watchdog = ::getenv(kWatchdogVariable);
  if (watchdog == nullptr) return;
  absl::Status status = parts.watchdog.Adopt(atoi(watchdog));
  if (!status.ok()) Log(Level::kError, "%s", std::string(status.message()).c_str());
}

}  // namespace

void GiveUp(const char* why) {
  Log(Level::kError, "cannot boot: %s", why);
  if (!IsFirstPidNamespace()) ::_exit(1);
  Log(Level::kError, "rebooting in 10 s");
  timespec wait = {.tv_sec = 10, .tv_nsec = 0};
  ::nanosleep(&wait, nullptr);
  ::reboot(RB_AUTOBOOT);
  ::_exit(1);
}

void RunSecondStage() {
  ::umask(022);
  (void)!::chdir("/");
  MountUnlessMounted(KernelMounts()[0]).IgnoreError();  // without /proc every phase will say so
  bool real_boot = IsFirstPidNamespace();
  OpenLog(real_boot);

  absl::StatusOr<EventLoop> loop = EventLoop::Create();
  if (!loop.ok()) GiveUp(std::string(loop.status().message()).c_str());
  // For ever: everything points into them.
  static Init::Parts parts = {.loop = *std::move(loop), .real_boot = real_boot};
  static Init init(parts);
  if (real_boot) {
    AdoptFirstStage(parts);
    parts.command_line = ReadCommandLine();
  }
  RunStep(kMounts, parts);
  OpenLog(real_boot);
  parts.spawn = SpawnEnvironment::Open();
  RunStep(kLimits, parts);
  init.StartModules();
  for (const Step& step : kBesideModules) RunStep(step, parts);
  if (absl::Status status = init.Prepare(); !status.ok()) GiveUp(std::string(status.message()).c_str());
  init.PrepareForMachined();
  init.StartFirstServices();
  init.Run();
}

}  // namespace stele::init
