// Puts an image onto a disk. Steps in a table; what a power cut leaves after any of them:
//
//   select  what is to be done; nothing is written
//   check   the disk may be taken; nothing is written
//   wipe    a note that we are at work, then the old table goes: from here on nobody sees a system on this disk
//   image   root slot A and the ESP       }
//   state   configuration, manifest       } contents at their offsets, before there is a table
//   data    an empty file system for /var }
//   table   all of it flushed and read back from the disk; then the table, whose last sector is the commit; the note
//   goes boot    boot entries, where firmware takes them done
//
// So a disk has either no table (the note says that it may be installed onto again) or all of Stele. Doing it again is
// always right. GUIDs are fresh and random. Memory is bounded: chunks of the image, buffers of 1 MiB. Blocks for
// minutes: a thread of its own. One at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "machined/install/boot_entries.h"
#include "machined/install/disk_file.h"
#include "machined/storage_format.h"
#include "machined/storage_layout.h"

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

struct InstallProgress {
  std::string step;
  uint64_t bytes_done = 0, bytes_total = 0;
  std::string warning;
};

// Whether `disk` carries all of Stele, as a finished installation leaves it.
bool IsInstalled(const DiskContents& contents);

class Installer {
 public:
  using Tell = std::function<void(const InstallProgress&)>;
  Installer(InstallOptions options, InstallSource source, Tell tell)
      : options_(std::move(options)), source_(std::move(source)), tell_(std::move(tell)) {}

  // The steps' names, in order.
  static std::vector<std::string> StepNames();

  // The first two steps: one action a line. FAILED_PRECONDITION when the disk may not be taken.
  absl::StatusOr<std::vector<std::string>> Plan();
  // All of them. What is not OK says in which step.
  absl::Status Run();

 private:
  struct Step;
  static const std::vector<Step>& Steps();
  absl::Status Select();
  absl::Status Check();
  absl::Status Wipe();
  absl::Status Image();
  absl::Status State();
  absl::Status Data();
  absl::Status Table();
  absl::Status Boot();
  absl::Status Done();

  absl::Status WriteSlot();
  absl::Status WriteEsp();
  absl::Status WriteEspFile(const std::string& root, const std::string& path, const InstallSource::Part& part);
  absl::Status ReadBackSlot();
  absl::Status ReadBackFiles(const std::string& label, const std::string& fstype);
  absl::Status ReadBackData();
  absl::StatusOr<std::string> LoaderName();
  const PlannedPartition& Planned(const std::string& label) const;
  std::string Target(const char* name) const { return absl::StrCat(options_.work, "/", name); }
  void Count(uint64_t bytes);

  InstallOptions options_;
  InstallSource source_;
  Tell tell_;
  std::unique_ptr<DiskFile> disk_;
  std::vector<PlannedPartition> plan_;
  std::string contents_;   // what the disk held, for people
  bool was_ours_ = false;  // an installation that was cut
  std::string loader_name_;
  std::string root_sha256_;
  // By partition: the files written, with their SHA-256 in hex.
  std::vector<std::pair<std::string, std::string>> esp_files_, state_files_;
  InstallProgress progress_;
  uint64_t told_ = 0;
};

}  // namespace stele::machined
