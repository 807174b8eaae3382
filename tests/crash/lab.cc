// init of the lab machine: a Debian kernel, this program, and a disk whose writes QEMU records. It carries out the
// scenario that the kernel's command line names, says on the console how that went, and powers off. It takes no input
// and runs once.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "lab_machine.h"

namespace {

using stele::UniqueFd;

absl::Status MountKernelFiles() {
  struct {
    const char *type, *target;
  } mounts[] = {{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}};
  for (auto [type, target] : mounts) {
    ::mkdir(target, 0755);
    // The kernel may have mounted /dev by itself.
    if (::mount(type, target, type, 0, nullptr) != 0 && errno != EBUSY) return stele::ErrnoStatus("mount ", target);
  }
  return absl::OkStatus();
}

// In the order of the list, which has each one behind what it needs.
absl::Status LoadModules() {
  ASSIGN_OR_RETURN(std::string list, stele::ReadFile("/modules/order"));
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(list, '\n', absl::SkipEmpty()))) {
    UniqueFd module(::open(("/modules/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (!module.ok()) return stele::ErrnoStatus("open ", name);
    if (::syscall(SYS_finit_module, module.get(), "", 0) != 0) return stele::ErrnoStatus("load ", name);
  }
  return absl::OkStatus();
}

absl::Status Run(std::string* name) {
  RETURN_IF_ERROR(MountKernelFiles());
  ASSIGN_OR_RETURN(std::string command_line, stele::ReadFile("/proc/cmdline"));
  for (absl::string_view word : absl::StrSplit(absl::StripAsciiWhitespace(command_line), ' ')) {
    if (absl::ConsumePrefix(&word, "lab=")) *name = std::string(word);
  }
  RETURN_IF_ERROR(LoadModules());
  ASSIGN_OR_RETURN(stele::lab::Scenario scenario, stele::lab::FindScenario(*name));
  ASSIGN_OR_RETURN(stele::lab::Machine machine, scenario.needs == stele::lab::Needs::kWholeDisk
                                                    ? stele::lab::Machine::OfWholeDisk()
                                                    : stele::lab::Machine::Create());
  if (scenario.needs == stele::lab::Needs::kPartitions) RETURN_IF_ERROR(machine.MountState());
  RETURN_IF_ERROR(machine.Mark("begin"));
  RETURN_IF_ERROR(scenario.run(machine));
  RETURN_IF_ERROR(machine.Mark("end"));
  return machine.End();
}

}  // namespace

int main() {
  std::string name = "(none)";
  absl::Status status = Run(&name);
  if (status.ok()) {
    std::printf("LAB DONE %s\n", name.c_str());
  } else {
    std::printf("LAB FAILED %s: %s\n", name.c_str(), std::string(status.message()).c_str());
  }
  std::fflush(stdout);
  ::reboot(RB_POWER_OFF);
  return 1;  // PID 1 that ends is a panic, and panic=1 ends the machine too
}
