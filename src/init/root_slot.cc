#include "init/root_slot.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "base/file.h"
#include "base/unique_fd.h"
#include "init/clock.h"
#include "init/gpt.h"
#include "init/log.h"
#include "init/modules.h"
#include "init/verity.h"

namespace stele::init {
namespace {

constexpr uint64_t kPatience = 20 * kSecond;
constexpr uint64_t kPoll = 20 * kMillisecond;
constexpr uint64_t kDriversEvery = 250 * kMillisecond;
constexpr char kSlotName[] = "STELE-ROOT-";
constexpr size_t kMostCandidates = 64;

std::vector<std::string> Entries(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = ::readdir(directory)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  ::closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

std::string PartitionName(const std::string& uevent) {
  constexpr absl::string_view kKey = "PARTNAME=";
  size_t at = uevent.find(kKey.data());
  if (at == std::string::npos || (at > 0 && uevent[at - 1] != '\n')) return "";
  at += kKey.size();
  return uevent.substr(at, uevent.find('\n', at) - at);
}

// A partition's folder in sysfs is inside of its disk's.
std::string DiskOf(const std::string& sys_block, const std::string& partition) {
  char target[PATH_MAX];
  if (::realpath(absl::StrCat(sys_block, "/", partition).c_str(), target) == nullptr) return "";
  absl::string_view path(target);
  path = path.substr(0, path.rfind('/'));
  return std::string(path.substr(path.rfind('/') + 1));
}

absl::StatusOr<std::vector<GptPartition>> ReadDisk(const std::string& path) {
  UniqueFd disk(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!disk.ok()) return ErrnoStatus("open ", path);
  int sector_size = 0;
  uint64_t size = 0;
  if (::ioctl(disk.get(), BLKSSZGET, &sector_size) != 0) return ErrnoStatus("ask ", path, " for its sectors' size");
  if (::ioctl(disk.get(), BLKGETSIZE64, &size) != 0) return ErrnoStatus("ask ", path, " for its size");
  return ReadGpt(disk.get(), static_cast<uint32_t>(sector_size), size);
}

void Sleep(uint64_t nanoseconds) {
  timespec time = {.tv_sec = 0, .tv_nsec = static_cast<long>(nanoseconds)};
  ::nanosleep(&time, nullptr);
}

// The disk with a partition of this PARTUUID among those with candidates; empty when none has it (yet).
std::string DiskOfPartition(absl::string_view uuid, const std::vector<SlotCandidate>& candidates) {
  std::string found, looked_at;
  for (const SlotCandidate& candidate : candidates) {
    if (candidate.disk == looked_at) continue;  // sorted by name: a disk's are beside each other
    looked_at = candidate.disk;
    absl::StatusOr<std::vector<GptPartition>> table = ReadDisk(absl::StrCat("/dev/", candidate.disk));
    if (!table.ok()) {
      Log(Level::kWarning, "%s: %s", candidate.disk.c_str(), std::string(table.status().message()).c_str());
      continue;
    }
    bool has = std::any_of(table->begin(), table->end(), [&](const GptPartition& one) { return one.uuid == uuid; });
    if (has && !found.empty()) {
      Log(Level::kWarning, "%s and %s are copies of one disk: the firmware cannot tell them apart, %s is taken",
          found.c_str(), candidate.disk.c_str(), found.c_str());
    } else if (has) {
      found = candidate.disk;
    }
  }
  return found;
}

// What was looked at, for who reads the log of a machine that does not boot.
absl::Status NoSlot(const std::string& told, absl::string_view loader_partition, absl::string_view own_disk) {
  std::string disks;
  for (const std::string& name : Entries("/sys/class/block")) {
    if (name.compare(0, 4, "loop") != 0 && name.compare(0, 3, "ram") != 0) absl::StrAppend(&disks, " ", name);
  }
  return absl::NotFoundError(absl::StrCat("no slot with the root of the command line; loader's partition: ",
                                          loader_partition.empty() ? "unknown" : loader_partition,
                                          ", on disk: ", own_disk.empty() ? "none seen" : own_disk,
                                          told.empty() ? "; no partition is called STELE-ROOT-*" : told,
                                          "; block devices:", disks.empty() ? " none" : disks));
}

}  // namespace

std::vector<SlotCandidate> FindSlotCandidates(const std::string& sys_block) {
  std::vector<SlotCandidate> found;
  for (const std::string& name : Entries(sys_block)) {
    absl::StatusOr<std::string> uevent = ReadFile(absl::StrCat(sys_block, "/", name, "/uevent"), 4096);
    if (!uevent.ok()) continue;  // gone again
    std::string label = PartitionName(*uevent);
    if (label.compare(0, strlen(kSlotName), kSlotName) != 0) continue;
    std::string disk = DiskOf(sys_block, name);
    if (!disk.empty() && found.size() < kMostCandidates) found.push_back({name, label, disk});
  }
  return found;
}

std::vector<SlotCandidate> SlotsToAsk(const std::vector<SlotCandidate>& candidates,
                                      const std::vector<std::string>& asked, bool has_loader,
                                      absl::string_view own_disk, bool late) {
  std::vector<SlotCandidate> own, others;
  for (const SlotCandidate& candidate : candidates) {
    if (std::find(asked.begin(), asked.end(), candidate.partition) != asked.end()) continue;
    (!own_disk.empty() && candidate.disk == own_disk ? own : others).push_back(candidate);
  }
  if (!own.empty()) return own;
  if (has_loader && own_disk.empty() && !late) return {};
  return others;
}

absl::StatusOr<RootSlot> OpenRootSlot(const RootVerity& root, absl::string_view loader_partition) {
  const bool has_loader = !loader_partition.empty();
  uint64_t deadline = Now() + kPatience, drivers_at = Now() + kDriversEvery;
  std::vector<std::string> asked;
  std::string told, own_disk;
  while (true) {
    std::vector<SlotCandidate> candidates = FindSlotCandidates();
    if (has_loader && own_disk.empty()) own_disk = DiskOfPartition(loader_partition, candidates);
    bool late = Now() >= deadline;
    std::vector<SlotCandidate> now = SlotsToAsk(candidates, asked, has_loader, own_disk, late);
    for (const SlotCandidate& candidate : now) {
      std::string partition = absl::StrCat("/dev/", candidate.partition);
      absl::StatusOr<std::string> device = OpenVerity(root, partition);
      if (device.ok()) {
        Log(Level::kNotice, "root: %s (%s)", partition.c_str(), candidate.name.c_str());
        return RootSlot{partition, *std::move(device)};
      }
      asked.push_back(candidate.partition);
      absl::StrAppend(&told, "; ", partition, " (", candidate.name, "): ", device.status().message());
    }
    if (!now.empty()) continue;
    if (late) return NoSlot(told, loader_partition, own_disk);
    if (Now() >= drivers_at) {                              // a controller may have found its disks only now
      WaitForDrivers(StartLoadingDrivers()).IgnoreError();  // one that failed was told, or is waited for by nobody
      drivers_at = Now() + kDriversEvery;
    }
    Sleep(kPoll);
  }
}

}  // namespace stele::init
