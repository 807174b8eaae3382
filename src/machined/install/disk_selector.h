// Which disk an installation goes to: what disks there are, which one a selector means, and whether it may be taken.
// Everything is read from sysfs, so that it holds without udev too. Blocks a little: worker threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "machined/storage_probe.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::machined {

struct DiskInfo {
  std::string device;  // /dev/vda
  std::string serial, model, wwid;
  uint64_t size = 0;
  bool read_only = false;

  // "/dev/vda, 8.0 GiB, QEMU HARDDISK, serial QM00001".
  std::string Text() const;
};

// Whole disks with something in them, by name.
std::vector<DiskInfo> ListDisks(const std::string& sys_block = "/sys/block");

// The one that all of the selector fits. INVALID_ARGUMENT for an empty selector, for none and for several, with what
// there is.
absl::StatusOr<DiskInfo> SelectDisk(const config::v1::DiskSelector& selector, const std::vector<DiskInfo>& disks);

// FAILED_PRECONDITION when somebody uses the disk: mounted, swap, stacked upon, or `medium_device` (may be empty),
// which the node runs from, is it or a part of it.
absl::Status CheckNotInUse(const std::string& device, const std::string& medium_device,
                           const std::string& sys_block = "/sys/block");

// What a disk holds, for people: "gpt: ESP (vfat), STELE-DATA (ext4)"; empty for an empty disk.
std::string DescribeContents(const DiskContents& contents);

}  // namespace stele::machined
