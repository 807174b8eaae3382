// Fills the partitions of a disk that has no table yet, each at its offset, and reads all of it back from the disk.
//
// Every chunk is counted as the disk has it, and summed as it is handed out: what is read back is compared with what
// the source gave, not with a second reading of it. Memory is bounded. Blocks for minutes; may be done again at any
// time.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "machined/install/disk_file.h"
#include "machined/install/install_options.h"
#include "machined/storage_layout.h"

namespace stele::machined {

class PartitionWriter {
 public:
  // `options`, `source` and `disk` outlive it. `count` hears of bytes of the image that are written.
  PartitionWriter(const InstallOptions& options, const InstallSource& source, const DiskFile& disk,
                  std::vector<PlannedPartition> plan, std::function<void(uint64_t bytes)> count)
      : options_(options), source_(source), disk_(disk), plan_(std::move(plan)), count_(std::move(count)) {}

  // Bytes of the image that there are to write.
  static uint64_t BytesOf(const InstallSource& source);

  // Each flushed when it returns.
  absl::Status WriteSlot();
  absl::Status WriteEsp();
  absl::Status WriteState();
  absl::Status WriteData();
  // Past the page cache. DATA_LOSS when the disk does not hold what was written.
  absl::Status ReadBack();

  // "EFI/systemd/boot-<8 hex>.efi"; once the ESP is written.
  const std::string& loader_name() const { return loader_name_; }

 private:
  using Sums = std::vector<std::pair<std::string, std::string>>;  // path, SHA-256 in hex

  absl::StatusOr<std::string> LoaderName() const;
  absl::Status MakeEsp(const PlannedPartition& esp) const;
  absl::Status WriteEspFile(const std::string& root, const std::string& path, const InstallSource::Part& part);
  absl::Status ReadBackSlot() const;
  absl::Status ReadBackFiles(const char* label, const std::string& fstype, const Sums& sums) const;
  absl::Status ReadBackData() const;
  const PlannedPartition& Planned(const std::string& label) const { return FindPlanned(plan_, label); }
  std::string Target(const char* name) const { return absl::StrCat(options_.work, "/", name); }

  const InstallOptions& options_;
  const InstallSource& source_;
  const DiskFile& disk_;
  const std::vector<PlannedPartition> plan_;
  const std::function<void(uint64_t)> count_;
  std::string loader_name_;
  std::string root_sha256_;
  Sums esp_files_, state_files_;
};

}  // namespace stele::machined
