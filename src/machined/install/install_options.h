// What is installed, and how: for installer.h and the parts of it.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "machined/install/boot_entries.h"
#include "machined/install/disk_file.h"
#include "machined/storage_format.h"

namespace stele::machined {

// Where the image comes from: read in chunks, each verified before it is handed out.
struct InstallSource {
  struct Part {
    uint64_t size = 0;
    std::function<absl::Status(const DiskFile::Sink& sink)> read;
  };
  std::string version;
  std::string header;  // of the image file, to the end of the signed manifest
  Part loader, uki, root;
};

struct InstallOptions {
  std::string disk;
  bool wipe = false;             // also a disk that holds something
  std::string medium_device;     // never this one, or the disk that it is a part of
  std::string medium_partition;  // nor the disk with this partition UUID, which the loader came from
  uint32_t sector_size = 0;      // 0: the device's
  StorageTools tools;
  // The ESP's file system: vfat, or ext4 in tests on a kernel without. Place, device and size are put behind the
  // command. -I: a whole disk is meant.
  std::vector<std::string> make_esp = {"/usr/sbin/mkfs.fat", "-I", "-F", "32", "-n", "ESP"};
  std::string esp_type = "vfat";
  std::string work = "/run/stele/install";  // for mounts and small files
  // On STELE-STATE besides upgrade/a.manifest: path and contents.
  std::vector<std::pair<std::string, std::string>> state_files;
  // Tells the firmware; null: nobody to tell. What it fails with is a warning.
  std::function<absl::Status(const std::string& loader, const EspPartition& esp)> point_boot_entries;
};

}  // namespace stele::machined
