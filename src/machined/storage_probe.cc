#include "machined/storage_probe.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/file.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr size_t kMiB = 1 << 20;

using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, decltype(&blkid_free_probe)>;

absl::StatusOr<Probe> MakeProbe(int fd, uint64_t offset, uint64_t size) {
  Probe probe(blkid_new_probe(), blkid_free_probe);
  if (probe == nullptr) return absl::ResourceExhaustedError("make a probe");
  if (blkid_probe_set_device(probe.get(), fd, offset, size) != 0) return ErrnoStatus("read");
  return probe;
}

// The type that libblkid finds, "" for nothing.
absl::StatusOr<std::string> ProbeType(int fd, uint64_t offset, uint64_t size) {
  ASSIGN_OR_RETURN(Probe probe, MakeProbe(fd, offset, size));
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(), BLKID_SUBLKS_TYPE);
  blkid_probe_enable_partitions(probe.get(), 1);
  int found = blkid_do_safeprobe(probe.get());
  if (found == -2) return std::string("ambivalent");  // several formats at once: certainly not empty
  if (found < 0) return ErrnoStatus("look for file systems");
  const char* type = nullptr;
  if (blkid_probe_lookup_value(probe.get(), "TYPE", &type, nullptr) == 0) return std::string(type);
  if (blkid_probe_lookup_value(probe.get(), "PTTYPE", &type, nullptr) == 0) return std::string(type);
  return std::string(found == 0 ? "unknown" : "");
}

absl::StatusOr<bool> IsZero(int fd, uint64_t offset, size_t size) {
  std::vector<char> buffer(size);
  for (size_t done = 0; done < size;) {
    ssize_t got = ::pread(fd, buffer.data() + done, size - done, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read at ", offset + done);
    if (got == 0) break;
    done += got;
  }
  return std::all_of(buffer.begin(), buffer.end(), [](char c) { return c == 0; });
}

// The device node of a partition: the kernel's entry below the disk's in sysfs that has this number.
std::string PartitionDevice(const std::string& disk, int number) {
  std::string name = disk.substr(disk.rfind('/') + 1);
  std::string base = absl::StrCat("/sys/class/block/", name);
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(base.c_str()), ::closedir);
  if (directory == nullptr) return "";
  while (dirent* entry = ::readdir(directory.get())) {
    absl::StatusOr<std::string> text = ReadFile(absl::StrCat(base, "/", entry->d_name, "/partition"));
    int found = 0;
    if (text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &found) && found == number) {
      return absl::StrCat("/dev/", entry->d_name);
    }
  }
  return "";
}

absl::StatusOr<std::string> PartitionType(int disk_fd, const Partition& partition) {
  if (partition.device.empty()) return ProbeType(disk_fd, partition.start, partition.size);
  // Not through the disk: its cache may be older than what was written to the partition's device.
  UniqueFd fd(::open(partition.device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", partition.device);
  return ProbeType(fd.get(), 0, 0);
}

absl::Status ReadPartitions(int fd, const std::string& disk, bool block, DiskContents* contents) {
  ASSIGN_OR_RETURN(Probe probe, MakeProbe(fd, 0, 0));
  blkid_probe_enable_partitions(probe.get(), 1);
  blkid_partlist list = blkid_probe_get_partitions(probe.get());
  for (int i = 0; list != nullptr && i < blkid_partlist_numof_partitions(list); ++i) {
    blkid_partition entry = blkid_partlist_get_partition(list, i);
    auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
    Partition partition = {
        .label = text(blkid_partition_get_name(entry)),
        .uuid = absl::AsciiStrToLower(text(blkid_partition_get_uuid(entry))),
        .number = blkid_partition_get_partno(entry),
        .start = static_cast<uint64_t>(blkid_partition_get_start(entry)) * 512,
        .size = static_cast<uint64_t>(blkid_partition_get_size(entry)) * 512,
    };
    if (block) partition.device = PartitionDevice(disk, partition.number);
    absl::StatusOr<std::string> type = PartitionType(fd, partition);
    RETURN_IF_ERROR(Annotate(type.status(), absl::StrCat("partition ", partition.number)));
    partition.fstype = *std::move(type);
    contents->partitions.push_back(std::move(partition));
  }
  return absl::OkStatus();
}

absl::StatusOr<DiskContents> Read(int fd, const std::string& disk) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus("stat");
  bool block = S_ISBLK(info.st_mode);
  if (!block && !S_ISREG(info.st_mode)) return absl::InvalidArgumentError("not a disk");
  DiskContents contents;
  off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return ErrnoStatus("find the size");
  contents.size = end;
  ASSIGN_OR_RETURN(contents.found, ProbeType(fd, 0, 0));
  if (contents.found == "gpt") {
    RETURN_IF_ERROR(ReadPartitions(fd, disk, block, &contents));
  } else if (contents.found.empty()) {
    ASSIGN_OR_RETURN(bool first, IsZero(fd, 0, kMiB));
    ASSIGN_OR_RETURN(bool last, IsZero(fd, contents.size > kMiB ? contents.size - kMiB : 0, kMiB));
    if (!first || !last) contents.found = "data";
  }
  return contents;
}

}  // namespace

absl::StatusOr<DiskContents> ProbeDisk(const std::string& disk) {
  UniqueFd fd(::open(disk.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", disk);
  absl::StatusOr<DiskContents> contents = Read(fd.get(), disk);
  RETURN_IF_ERROR(Annotate(contents.status(), absl::StrCat("look at ", disk)));
  return contents;
}

const Partition* FindPartition(const DiskContents& contents, const std::string& label) {
  for (const Partition& partition : contents.partitions) {
    if (partition.label == label) return &partition;
  }
  return nullptr;
}

namespace {

// One path to an NVMe namespace, such as nvme0c0n1 beside nvme0n1: no device of its own.
bool IsHidden(const std::string& folder) {
  return absl::StartsWith(ReadFile(folder + "/hidden", 64).value_or(""), "1");
}

}  // namespace

std::vector<std::string> WholeDisks(const std::string& sys_block) {
  static constexpr absl::string_view kVirtual[] = {"loop", "ram", "zram", "dm-", "md", "nbd", "sr", "fd"};
  std::vector<std::string> disks;
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(sys_block.c_str()), ::closedir);
  if (directory == nullptr) return disks;
  while (dirent* entry = ::readdir(directory.get())) {
    absl::string_view name = entry->d_name;
    bool is_virtual = name[0] == '.';
    for (absl::string_view prefix : kVirtual) is_virtual |= absl::StartsWith(name, prefix);
    if (is_virtual || IsHidden(absl::StrCat(sys_block, "/", name))) continue;
    disks.push_back(absl::StrCat("/dev/", name));
  }
  std::sort(disks.begin(), disks.end());
  return disks;
}

}  // namespace stele::machined
