#include "lab_machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file.h"

namespace stele::lab {
namespace {

constexpr size_t kSector = 512;

// Partition name → device, from the kernel's own table.
std::map<std::string, std::string> Partitions() {
  std::map<std::string, std::string> found;
  std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/sys/class/block"), ::closedir);
  while (dirent* entry = folder == nullptr ? nullptr : ::readdir(folder.get())) {
    std::string device = entry->d_name;
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/sys/class/block/", device, "/uevent"));
    if (!text.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*text, '\n')) {
      if (absl::ConsumePrefix(&line, "PARTNAME=")) found[std::string(line)] = "/dev/" + device;
    }
  }
  return found;
}

absl::Status MountState(const std::string& device) {
  ::mkdir(kState, 0700);
  if (::mount(device.c_str(), kState, "ext4", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, nullptr) != 0) {
    return ErrnoStatus("mount ", device);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Machine> Machine::Create() {
  // virtio_blk was loaded just now, and the disk appears when its queues do.
  std::map<std::string, std::string> devices;
  for (int i = 0; i < 500 && !devices.contains("LAB-MARK"); ++i) {
    devices = Partitions();
    ::usleep(10'000);
  }
  for (const char* name : {"ESP", "STELE-STATE", "STELE-ROOT-A", "STELE-ROOT-B", "LAB-MARK"}) {
    if (!devices.contains(name)) return absl::NotFoundError(absl::StrCat("the disk has no partition ", name));
  }
  Machine machine;
  machine.esp_device_ = devices["ESP"];
  machine.slot_a_ = devices["STELE-ROOT-A"];
  machine.slot_b_ = devices["STELE-ROOT-B"];
  machine.marks_.reset(::open(devices["LAB-MARK"].c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
  if (!machine.marks_.ok()) return ErrnoStatus("open ", devices["LAB-MARK"]);
  ::mkdir(kEsp, 0700);
  RETURN_IF_ERROR(MountState(devices["STELE-STATE"]));
  return machine;
}

absl::Status Machine::Mark(absl::string_view text) {
  alignas(kSector) char sector[kSector] = {};
  std::memcpy(sector, text.data(), std::min(text.size(), sizeof sector - 1));
  if (::pwrite(marks_.get(), sector, sizeof sector, 0) != sizeof sector) return ErrnoStatus("mark ", text);
  return absl::OkStatus();
}

absl::Status Machine::End() {
  if (::umount2(kEsp, 0) != 0 && errno != EINVAL) return ErrnoStatus("unmount ", kEsp);
  if (::umount2(kState, 0) != 0) return ErrnoStatus("unmount ", kState);
  ::sync();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Payload(const std::string& name) { return ReadFile("/payload/" + name, 64 << 20); }

}  // namespace stele::lab
