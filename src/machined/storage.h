// The node's own disk: which it is, and bringing its partitions up. Plain functions that block; the
// controller (storage_controller.h) calls them on a worker thread.
//
// Own is the disk that the config names, else the one we were booted from, told by the boot loader's
// partition UUID. Whatever else is plugged in is never written, and never read for a config.
#pragma once

#include <functional>
#include <string>

#include "absl/time/time.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/storage_format.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

// Where things are; other places in tests.
struct StorageOptions {
  std::string root;  // before every path below; "" on a node
  std::string state_target = "/run/stele/state";
  std::string data_target = "/var";
  std::string loader_partition = "/sys/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
  std::string sys_block = "/sys/block";
  absl::Duration disk_wait = absl::Seconds(20);  // for a disk that is not there yet
  StorageTools tools;
};

// The device of the node's own disk. NOT_FOUND: it has none; UNAVAILABLE: it has one, which is not there.
absl::StatusOr<std::string> FindOwnDisk(const std::string& configured, const StorageOptions& options);

// Takes the disk's lock, which the device manager respects: while it is held udev does not read the
// partition table anew, which would take partitions away under us for a moment. Held until closed.
absl::StatusOr<UniqueFd> LockDisk(const std::string& disk, absl::Duration wait = absl::Seconds(10));

// What a volume is and how it fares.
using VolumeStatus = resource::v1::Volume;

// Mounts the state partition when the disk has one with a file system: quick, since the config waits.
// NOT_FOUND when there is nothing to mount yet.
absl::StatusOr<VolumeStatus> MountState(const std::string& disk, const StorageOptions& options);

// Partitions and formats an empty disk; formats a partition of ours that is empty. Nothing else is written.
absl::Status PrepareDisk(const std::string& disk, const StorageOptions& options,
                         const std::function<void(const std::string&)>& progress);

// Checks and mounts the data partition on /var and makes what stands on it.
absl::StatusOr<VolumeStatus> MountData(const std::string& disk, const StorageOptions& options);

// Instead, on a node without a disk: memory, gone with the boot.
absl::StatusOr<VolumeStatus> MountDataInMemory(const StorageOptions& options);

// Whether an earlier machined of this boot has done it all.
absl::StatusOr<bool> DataIsMounted(const StorageOptions& options);

}  // namespace stele::machined
