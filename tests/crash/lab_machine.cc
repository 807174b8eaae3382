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
constexpr char kDisk[] = "/dev/vda";
constexpr int kPatience = 500;  // of 10 ms
// In the middle of the second slot, of which an installation writes both ends only (install_lab.py knows it too).
constexpr uint64_t kMarksOfWholeDisk = 1600ULL << 20;

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
  for (int i = 0; i < kPatience && !devices.contains("LAB-MARK"); ++i) {
    devices = Partitions();
    ::usleep(10'000);
  }
  for (const char* name : {"ESP", "STELE-STATE", "STELE-ROOT-A", "STELE-ROOT-B", "LAB-MARK"}) {
    if (!devices.contains(name)) return absl::NotFoundError(absl::StrCat("the disk has no partition ", name));
  }
  Machine machine;
  machine.disk_ = kDisk;
  machine.esp_device_ = devices["ESP"];
  machine.slot_a_ = devices["STELE-ROOT-A"];
  machine.slot_b_ = devices["STELE-ROOT-B"];
  machine.state_device_ = devices["STELE-STATE"];
  machine.marks_.reset(::open(devices["LAB-MARK"].c_str(), O_WRONLY | O_DIRECT | O_CLOEXEC));
  if (!machine.marks_.ok()) return ErrnoStatus("open ", devices["LAB-MARK"]);
  return machine;
}

absl::StatusOr<Machine> Machine::OfWholeDisk() {
  Machine machine;
  machine.disk_ = kDisk;
  for (int i = 0; i < kPatience && !machine.marks_.ok(); ++i) {
    machine.marks_.reset(::open(kDisk, O_WRONLY | O_DIRECT | O_CLOEXEC));
    if (!machine.marks_.ok()) ::usleep(10'000);
  }
  if (!machine.marks_.ok()) return ErrnoStatus("open ", kDisk);
  machine.mark_at_ = kMarksOfWholeDisk;
  return machine;
}

absl::Status Machine::MountState() {
  ::mkdir(kEsp, 0700);
  return lab::MountState(state_device_);
}

absl::Status Machine::Mark(absl::string_view text) {
  alignas(kSector) char sector[kSector] = {};
  std::memcpy(sector, text.data(), std::min(text.size(), sizeof sector - 1));
  if (::pwrite(marks_.get(), sector, sizeof sector, mark_at_) != sizeof sector) return ErrnoStatus("mark ", text);
  return absl::OkStatus();
}

absl::Status Machine::End() {
  if (::umount2(kEsp, 0) != 0 && errno != EINVAL && errno != ENOENT) return ErrnoStatus("unmount ", kEsp);
  if (::umount2(kState, 0) != 0 && errno != EINVAL && errno != ENOENT) return ErrnoStatus("unmount ", kState);
  ::sync();
  return absl::OkStatus();
}

absl::StatusOr<std::string> Payload(const std::string& name) { return ReadFile("/payload/" + name, 64 << 20); }

}  // namespace stele::lab
