#include "machined/storage.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "machined/storage_mount.h"

namespace stele::machined {
namespace {

constexpr char kOptions[] = "nosuid,nodev,noatime,errors=remount-ro";

// The kernel's name for the disk: /dev/disk/by-id/… are links that udev makes, perhaps a little later.
absl::StatusOr<std::string> WaitForDisk(const std::string& path, absl::Duration wait) {
  absl::Time deadline = absl::Now() + wait;
  while (true) {
    std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), ::free);
    if (real != nullptr) return std::string(real.get());
    if (absl::Now() >= deadline) return absl::UnavailableError(absl::StrCat("storage.disk ", path, " is not there"));
    absl::SleepFor(absl::Milliseconds(50));
  }
}

// Firmware variables, for reading. On a machine without EFI the folder is not there.
void MountFirmwareVariables(const std::string& variable) {
  std::string folder = variable.substr(0, variable.rfind('/'));
  absl::StatusOr<bool> mounted = IsMounted(folder);
  if (!absl::StartsWith(folder, "/sys/") || ::access(folder.c_str(), F_OK) != 0 || !mounted.ok() || *mounted) return;
  // Not being able to is told by the read that follows.
  MountFilesystem("efivarfs", folder, "efivarfs", "ro,nosuid,nodev,noexec").IgnoreError();
}

// A boot loader's variable: four bytes of attributes, then UTF-16 text, which here is ASCII.
absl::StatusOr<std::string> ReadLoaderUuid(const std::string& path) {
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, 4096));
  std::string uuid;
  for (size_t i = 4; i + 1 < bytes.size() && bytes[i] != '\0'; i += 2) uuid += absl::ascii_tolower(bytes[i]);
  if (uuid.size() != 36) return absl::NotFoundError(absl::StrCat(path, ": not a UUID"));
  return uuid;
}

std::string DiskOfPartition(const std::string& uuid, const StorageOptions& options) {
  for (const std::string& disk : WholeDisks(options.sys_block)) {
    absl::StatusOr<DiskContents> contents = ProbeDisk(disk);
    if (!contents.ok()) continue;  // an empty card reader, a disk that fails: not ours
    for (const Partition& partition : contents->partitions) {
      if (partition.uuid == uuid) return disk;
    }
  }
  return "";
}

absl::StatusOr<std::string> WaitForPartition(const std::string& uuid, const StorageOptions& options) {
  absl::Time deadline = absl::Now() + options.disk_wait;
  while (true) {
    if (std::string disk = DiskOfPartition(uuid, options); !disk.empty()) return disk;
    if (absl::Now() >= deadline) {
      return absl::UnavailableError(
          absl::StrCat("no disk has the partition ", uuid, " that the boot loader came from"));
    }
    absl::SleepFor(absl::Milliseconds(100));
  }
}

VolumeStatus Ready(const std::string& device, const std::string& target, uint64_t size) {
  VolumeStatus volume;
  volume.set_device(device);
  volume.set_target(target);
  volume.set_fstype("ext4");
  volume.set_size_bytes(size);
  volume.set_ready(true);
  return volume;
}

absl::StatusOr<VolumeStatus> CheckAndMount(const std::string& disk, const std::string& label, const std::string& target,
                                           const std::string& mount_options, bool force,
                                           const StorageOptions& options) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(disk));
  const Partition* partition = FindPartition(contents, label);
  if (partition == nullptr) return absl::NotFoundError(absl::StrCat(disk, " has no partition ", label));
  if (partition->fstype.empty()) return absl::NotFoundError(absl::StrCat(label, " on ", disk, " has no file system"));
  if (partition->fstype != "ext4") {
    return absl::FailedPreconditionError(
        absl::StrCat(label, " on ", disk, " holds ", partition->fstype, " instead of ext4"));
  }
  ASSIGN_OR_RETURN(bool mounted, IsMounted(options.root + target));
  if (!mounted) {
    RETURN_IF_ERROR(CheckFilesystem(partition->device, force, options.tools));
    RETURN_IF_ERROR(MountFilesystem(partition->device, options.root + target, "ext4", mount_options));
  }
  return Ready(partition->device, target, partition->size);
}

}  // namespace

absl::StatusOr<std::string> FindOwnDisk(const std::string& configured, const StorageOptions& options) {
  if (!configured.empty()) return WaitForDisk(configured, options.disk_wait);
  MountFirmwareVariables(options.loader_partition);
  absl::StatusOr<std::string> uuid = ReadLoaderUuid(options.loader_partition);
  if (!uuid.ok())
    return absl::NotFoundError("the config names no disk, and the boot loader does not say which it came from");
  return WaitForPartition(*uuid, options);
}

absl::StatusOr<UniqueFd> LockDisk(const std::string& disk, absl::Duration wait) {
  UniqueFd fd(::open(disk.c_str(), O_RDONLY | O_CLOEXEC));  // for reading: closing it is no change to udev
  if (!fd.ok()) return ErrnoStatus("open ", disk);
  absl::Time deadline = absl::Now() + wait;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return ErrnoStatus("lock ", disk);
    if (absl::Now() >= deadline)
      return absl::DeadlineExceededError(absl::StrCat("lock ", disk, ": somebody else holds it"));
    absl::SleepFor(absl::Milliseconds(20));
  }
  return fd;
}

absl::StatusOr<VolumeStatus> MountState(const std::string& disk, const StorageOptions& options) {
  // With loss where it must be: generations have checksums, and one that is torn is passed over.
  return CheckAndMount(disk, kStateLabel, options.state_target, absl::StrCat(kOptions, ",noexec"), /*force=*/true,
                       options);
}

absl::Status PrepareDisk(const std::string& disk, const StorageOptions& options,
                         const std::function<void(const std::string&)>& progress) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(disk));
  if (contents.found.empty()) {
    progress(absl::StrCat("partition and format ", disk));
    return FormatEmptyDisk(disk, options.tools);
  }
  if (contents.found != "gpt" || FindPartition(contents, kDataLabel) == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(disk, " is not empty: it holds ", contents.found,
                                                      " and no partition ", kDataLabel, "; it is left alone"));
  }
  for (const Partition& partition : contents.partitions) {
    bool ours = partition.label == kStateLabel || partition.label == kDataLabel;
    if (!ours || !partition.fstype.empty()) continue;
    progress(absl::StrCat("format ", partition.label, " on ", disk));
    RETURN_IF_ERROR(Annotate(FormatPartition(disk, partition, options.tools), disk));
  }
  return absl::OkStatus();
}

absl::StatusOr<VolumeStatus> MountData(const std::string& disk, const StorageOptions& options) {
  ASSIGN_OR_RETURN(VolumeStatus volume,
                   CheckAndMount(disk, kDataLabel, options.data_target, kOptions, /*force=*/true, options));
  RETURN_IF_ERROR(SetUpVar(options.root));
  return volume;
}

absl::StatusOr<VolumeStatus> MountDataInMemory(const StorageOptions& options) {
  ASSIGN_OR_RETURN(bool mounted, IsMounted(options.root + options.data_target));
  if (!mounted) {
    RETURN_IF_ERROR(
        MountFilesystem("var", options.root + options.data_target, "tmpfs", "nosuid,nodev,mode=755,size=50%"));
  }
  RETURN_IF_ERROR(SetUpVar(options.root));
  VolumeStatus volume;
  volume.set_target(options.data_target);
  volume.set_fstype("tmpfs");
  volume.set_message("in memory: lost at reboot");
  volume.set_ready(true);
  return volume;
}

absl::StatusOr<bool> DataIsMounted(const StorageOptions& options) {
  return IsMounted(options.root + options.data_target);
}

}  // namespace stele::machined
