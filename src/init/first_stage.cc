#include "init/first_stage.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cstdlib>
#include <cstring>

#include "base/boot_facts.h"
#include "base/file.h"
#include "init/clock.h"
#include "init/command_line.h"
#include "init/efi.h"
#include "init/log.h"
#include "init/modules.h"
#include "init/mounts.h"
#include "init/phases.h"
#include "init/root_slot.h"
#include "init/watchdog.h"

namespace stele::init {
namespace {

constexpr char kNewRoot[] = "/sysroot";
constexpr char kSecondStage[] = "/usr/lib/stele/init";

bool FromMedium() { return ::access(kRootImage, R_OK) == 0; }

// What the steps find out for one another and for the second stage.
struct FirstStage {
  BootFacts facts;
  Watchdog watchdog;
  pid_t drivers = -1;  // the task that loads them
};

absl::Status MountKernelFileSystems(FirstStage& stage) {
  for (const MountSpec& mount : KernelMounts()) RETURN_IF_ERROR(MountUnlessMounted(mount));
  // Nothing of ours may be lost to the kernel's rate limit for /dev/kmsg.
  WriteControlFile("/proc/sys/kernel/printk_devkmsg", "on\n").IgnoreError();
  OpenLog(/*kernel_log=*/true);
  stage.facts.medium = FromMedium() ? BootMedium::kMemory : BootMedium::kSlot;
  return absl::OkStatus();
}

// What stands between us and the root; all else waits for the second stage.
absl::Status LoadRootModules(FirstStage& stage) {
  stage.drivers = StartLoadingDrivers();  // beside this: they wait for devices, we for the kernel
  ASSIGN_OR_RETURN(Modules modules, Modules::Read(ModuleDirectory()));
  ModuleLoader loader(std::move(modules));
  for (const char* name : {"squashfs", "overlay"}) RETURN_IF_ERROR(loader.Load(name));
  if (stage.facts.medium == BootMedium::kMemory) return loader.Load("loop");
  RETURN_IF_ERROR(loader.Load("dm_verity"));
  RETURN_IF_ERROR(loader.Load("efivarfs"));
  // The loader's word for our own disk. Without EFI there is none, and every disk is asked.
  absl::Status status = MountEfiVariables();
  if (!status.ok() && !absl::IsNotFound(status)) Log(Level::kWarning, "%s", std::string(status.message()).c_str());
  return absl::OkStatus();
}

// Disks and the watchdog: whatever the initramfs has a driver for. One that does not come up is told and passed
// over; without its disk there will be no root.
absl::Status Drivers(FirstStage& stage) {
  absl::Status status = WaitForDrivers(stage.drivers);
  if (!status.ok()) Log(Level::kWarning, "%s", std::string(status.message()).c_str());
  return absl::OkStatus();
}

// As early as there is a driver: from here on a boot that hangs ends in a reset.
absl::Status StartWatchdog(FirstStage& stage) {
  if (!ReadCommandLine().watchdog) return absl::OkStatus();
  absl::Status status = stage.watchdog.Open(Watchdog::kBootTimeoutSeconds);
  if (!status.ok() && !absl::IsNotFound(status)) Log(Level::kWarning, "%s", std::string(status.message()).c_str());
  stage.facts.watchdog_reset = stage.watchdog.reset_machine();
  return absl::OkStatus();
}

// A read-only loop device over `image` that goes away with its last user.
absl::StatusOr<std::string> AttachLoop(const char* image) {
  UniqueFd file(::open(image, O_RDONLY | O_CLOEXEC));
  if (!file.ok()) return ErrnoStatus("open ", image);
  UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.ok()) return ErrnoStatus("open /dev/loop-control");
  int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
  if (number < 0) return ErrnoStatus("find a free loop device");
  std::string device = absl::StrCat("/dev/loop", number);
  UniqueFd loop(::open(device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!loop.ok()) return ErrnoStatus("open ", device);
  loop_config config = {};
  config.fd = static_cast<uint32_t>(file.get());
  config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  if (::ioctl(loop.get(), LOOP_CONFIGURE, &config) != 0) return ErrnoStatus("attach ", image, " to ", device);
  // Held open until it is mounted: with autoclear, the last close detaches.
  static UniqueFd held;
  held = std::move(loop);
  return device;
}

// The image file that the medium carries, for who installs from it: its head and the root's device. The head stays
// where it is in memory, bound to its new place: no copy, and no loop device.
absl::Status KeepHead() {
  if (::access(kHeadImage, R_OK) != 0) return absl::OkStatus();
  RETURN_IF_ERROR(MakeDirectories("/run/stele"));  // apid's user passes through
  RETURN_IF_ERROR(MakeDirectories("/run/stele/medium", 0700));
  UniqueFd target(::open(kMediumHead, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!target.ok()) return ErrnoStatus("make ", kMediumHead);
  if (::mount(kHeadImage, kMediumHead, nullptr, MS_BIND, nullptr) != 0) return ErrnoStatus("bind ", kHeadImage);
  return absl::OkStatus();
}

absl::StatusOr<std::string> AttachMedium(BootFacts& facts) {
  ASSIGN_OR_RETURN(std::string device, AttachLoop(kRootImage));
  struct stat info;
  if (::stat(kRootImage, &info) != 0) return ErrnoStatus("look at ", kRootImage);
  if (absl::StatusOr<RootVerity> root = ParseRootVerity(ReadCommandLine().root); root.ok())
    facts.root_hash = root->hash;
  facts.root_device = facts.medium_root = device;
  facts.medium_root_size = static_cast<uint64_t>(info.st_size);
  // The node runs without it.
  if (absl::Status status = KeepHead(); !status.ok()) Log(Level::kError, "%s", std::string(status.message()).c_str());
  return device;
}

absl::StatusOr<std::string> AttachSlot(BootFacts& facts) {
  CommandLine line = ReadCommandLine();
  if (line.root.empty()) return absl::FailedPreconditionError("neither /root.img nor stele.root= on the command line");
  ASSIGN_OR_RETURN(RootVerity root, ParseRootVerity(line.root));
  facts.root_hash = root.hash;
  ReadLoaderFacts(facts, line.kexec);
  ASSIGN_OR_RETURN(RootSlot slot, OpenRootSlot(root, facts.loader_partition));
  facts.root_device = slot.partition;
  return slot.device;
}

absl::Status MountRoot(FirstStage& stage) {
  absl::StatusOr<std::string> device =
      stage.facts.medium == BootMedium::kMemory ? AttachMedium(stage.facts) : AttachSlot(stage.facts);
  if (!device.ok()) return device.status();
  RETURN_IF_ERROR(MakeDirectories(kNewRoot));
  if (::mount(device->c_str(), kNewRoot, "squashfs", MS_RDONLY | MS_NODEV, nullptr) != 0) {
    return ErrnoStatus("mount ", *device, " as the root");
  }
  return absl::OkStatus();
}

// Frees the initramfs: whatever is on its own file system. The loop device keeps the image.
void DeleteTree(int directory, dev_t device) {
  DIR* entries = ::fdopendir(directory);
  if (entries == nullptr) {
    ::close(directory);
    return;
  }
  while (const dirent* entry = ::readdir(entries)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    struct stat info;
    int parent = ::dirfd(entries);
    if (::fstatat(parent, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || info.st_dev != device) continue;
    if (S_ISDIR(info.st_mode)) {
      int below = ::openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
      if (below >= 0) DeleteTree(below, device);
    }
    ::unlinkat(parent, entry->d_name, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
  }
  ::closedir(entries);
}

absl::Status SwitchRoot(FirstStage&) {
  for (const MountSpec& mount : KernelMounts()) {
    std::string target = absl::StrCat(kNewRoot, mount.target);
    if (::mount(mount.target, target.c_str(), nullptr, MS_MOVE, nullptr) != 0) {
      return ErrnoStatus("move ", mount.target, " to ", target);
    }
  }
  int old_root = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct stat info;
  if (::fstat(old_root, &info) != 0) return ErrnoStatus("look at the initramfs");
  if (::chdir(kNewRoot) != 0) return ErrnoStatus("enter ", kNewRoot);
  if (::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0) return ErrnoStatus("move the root into place");
  if (::chroot(".") != 0 || ::chdir("/") != 0) return ErrnoStatus("enter the root");
  DeleteTree(old_root, info.st_dev);
  return absl::OkStatus();
}

struct Step {
  const char* name;
  absl::Status (*run)(FirstStage& stage);
};
constexpr Step kSteps[] = {
    {"kernel-mounts", MountKernelFileSystems}, {"root-modules", LoadRootModules}, {"root-drivers", Drivers},
    {"root-watchdog", StartWatchdog},          {"root-mount", MountRoot},         {"root-switch", SwitchRoot},
};

}  // namespace

bool InInitramfs() {
  struct statfs info;
  if (::statfs("/", &info) != 0) return false;
  return (info.f_type == RAMFS_MAGIC || info.f_type == TMPFS_MAGIC) && ::access("/init", X_OK) == 0 &&
         ::access(kSecondStage, F_OK) != 0;
}

absl::Status RunFirstStage() {
  std::vector<Phase> phases;
  FirstStage stage;
  for (const Step& step : kSteps) {
    Phase phase = {.name = step.name, .start_ns = Now()};
    RETURN_IF_ERROR(Annotate(step.run(stage), step.name));
    phase.state = kPhaseDone;
    phase.end_ns = Now();
    phases.push_back(std::move(phase));
  }
  // Times are worth little; the boot goes on without them. Not without the facts: what upgrades would go by them.
  RETURN_IF_ERROR(MakeDirectories("/run/stele"));
  ReplaceFile(kFirstStagePhases, FormatPhases(phases)).IgnoreError();
  RETURN_IF_ERROR(ReplaceFile(kBootFactsFile, FormatBootFacts(stage.facts), 0600));
  int watchdog = stage.watchdog.HandOver();
  std::string variable = absl::StrCat(kWatchdogVariable, "=", watchdog);
  const char* argv[] = {kSecondStage, nullptr};
  const char* environment[] = {watchdog >= 0 ? variable.c_str() : nullptr, nullptr};
  ::execve(kSecondStage, const_cast<char* const*>(argv), const_cast<char* const*>(environment));
  return ErrnoStatus("execute ", kSecondStage);
}

std::string FormatPhases(const std::vector<Phase>& phases) {
  std::string text;
  for (const Phase& phase : phases) {
    absl::StrAppend(&text, phase.name, " ", phase.state, " ", phase.start_ns, " ", phase.end_ns, " ", phase.message,
                    "\n");
  }
  return text;
}

std::vector<Phase> ParsePhases(absl::string_view text) {
  std::vector<Phase> phases;
  while (!text.empty()) {
    std::string line(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    Phase phase;
    uint64_t state = 0;
    const char* at = line.c_str();
    at += phase.name.assign(at, strcspn(at, " ")).size();
    bool whole = !phase.name.empty();
    for (uint64_t* number : {&state, &phase.start_ns, &phase.end_ns}) {
      char* end = nullptr;
      *number = strtoull(at, &end, 10);
      whole &= end != at;
      at = end;
    }
    if (!whole || *at != ' ' || state > kPhaseSkipped) continue;
    phase.state = static_cast<uint8_t>(state);
    phase.message = at + 1;
    phases.push_back(std::move(phase));
  }
  return phases;
}

}  // namespace stele::init
