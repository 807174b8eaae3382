// Puts an image onto a disk. Steps in a table; what a power cut leaves after any of them:
//
//   select  what is to be done; nothing is written
//   check   the disk may be taken; nothing is written
//   wipe    a note that we are at work, then the old table goes: from here on nobody sees a system on this disk
//   image   root slot A and the ESP       }
//   state   configuration, manifest       } contents at their offsets, before there is a table
//   data    an empty file system for /var }
//   table   all of it flushed and read back from the disk; then the table, whose last sector is the commit; the note
//           goes
//   boot    boot entries, where firmware takes them
//   done
//
// So a disk has either no table (the note says that it may be installed onto again) or all of Stele. Doing it again is
// always right. GUIDs are fresh and random. Memory is bounded: chunks of the image, buffers of 1 MiB. Blocks for
// minutes: a thread of its own. One at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "machined/install/disk_file.h"
#include "machined/install/install_options.h"
#include "machined/install/partition_writer.h"
#include "machined/storage_layout.h"

namespace stele::machined {

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

  void Count(uint64_t bytes);

  InstallOptions options_;
  InstallSource source_;
  Tell tell_;
  std::unique_ptr<DiskFile> disk_;
  std::vector<PlannedPartition> plan_;
  std::unique_ptr<PartitionWriter> writer_;
  std::string contents_;   // what the disk held, for people
  bool was_ours_ = false;  // an installation that was cut
  InstallProgress progress_;
  uint64_t told_ = 0;
};

}  // namespace stele::machined
