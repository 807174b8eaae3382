#include "machined/install/installer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "machined/install/disk_note.h"
#include "machined/install/disk_selector.h"
#include "machined/install/gpt_table.h"
#include "machined/install/loop_mount.h"
#include "machined/storage.h"

namespace stele::machined {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// The partitions the kernel knows are not the disk's any more, or not yet. Where it fails (somebody has the disk open)
// the kernel learns of them at the next boot, before which nobody needs them.
void ReadTableAnew(const DiskFile& disk) {
  for (int i = 0; disk.is_block() && i < 20; ++i) {
    if (::ioctl(disk.fd(), BLKRRPART) == 0 || errno != EBUSY) return;
    absl::SleepFor(absl::Milliseconds(50));
  }
}

}  // namespace

struct Installer::Step {
  const char* name;
  absl::Status (Installer::*run)();
};

const std::vector<Installer::Step>& Installer::Steps() {
  static const std::vector<Step> steps = {
      {"select", &Installer::Select}, {"check", &Installer::Check}, {"wipe", &Installer::Wipe},
      {"image", &Installer::Image},   {"state", &Installer::State}, {"data", &Installer::Data},
      {"table", &Installer::Table},   {"boot", &Installer::Boot},   {"done", &Installer::Done},
  };
  return steps;
}

std::vector<std::string> Installer::StepNames() {
  std::vector<std::string> names;
  for (const Step& step : Steps()) names.emplace_back(step.name);
  return names;
}

bool IsInstalled(const DiskContents& contents) {
  if (contents.found != "gpt") return false;
  for (const char* label : {kEspLabel, kRootALabel, kRootBLabel, kStateLabel, kDataLabel}) {
    if (FindPartition(contents, label) == nullptr) return false;
  }
  return true;
}

absl::StatusOr<std::vector<std::string>> Installer::Plan() {
  RETURN_IF_ERROR(Select());
  RETURN_IF_ERROR(Check());
  std::vector<std::string> plan = {absl::StrCat("install Stele ", source_.version, " on ", options_.disk)};
  if (was_ours_) plan.push_back("begin anew where an installation was cut off");
  if (!contents_.empty() && !was_ours_) plan.push_back(absl::StrCat("wipe what it holds: ", contents_));
  for (const PlannedPartition& part : plan_) {
    plan.push_back(absl::StrFormat("make %s, %d MiB", part.label, part.size / kMiB));
  }
  plan.push_back("add boot entries to the firmware");
  return plan;
}

absl::Status Installer::Run() {
  progress_.bytes_total = PartitionWriter::BytesOf(source_);
  // udev must not read a table that is being written.
  absl::StatusOr<UniqueFd> lock = LockDisk(options_.disk);
  RETURN_IF_ERROR(lock.status());
  for (const Step& step : Steps()) {
    progress_.step = step.name;
    tell_(progress_);
    RETURN_IF_ERROR(Annotate((this->*step.run)(), absl::StrCat("install on ", options_.disk, ": ", step.name)));
  }
  return absl::OkStatus();
}

void Installer::Count(uint64_t bytes) {
  progress_.bytes_done += bytes;
  if (progress_.bytes_done - told_ < 4 * kMiB && progress_.bytes_done != progress_.bytes_total) return;
  told_ = progress_.bytes_done;
  tell_(progress_);
}

absl::Status Installer::Select() {
  ASSIGN_OR_RETURN(DiskFile disk, DiskFile::Open(options_.disk, options_.sector_size));
  disk_ = std::make_unique<DiskFile>(std::move(disk));
  ASSIGN_OR_RETURN(plan_, PlanInstalledDisk(disk_->size()));
  uint64_t slot = FindPlanned(plan_, kRootALabel).size, esp = FindPlanned(plan_, kEspLabel).size;
  if (source_.root.size > slot) return absl::FailedPreconditionError("the image's root is larger than a root slot");
  // Room for a second UKI and loader, and for what FAT itself needs: else no upgrade would fit.
  if (2 * (source_.uki.size + source_.loader.size) + 16 * kMiB > esp) {
    return absl::FailedPreconditionError("the image's UKI is too large for the ESP");
  }
  writer_ =
      std::make_unique<PartitionWriter>(options_, source_, *disk_, plan_, [this](uint64_t bytes) { Count(bytes); });
  return absl::OkStatus();
}

absl::Status Installer::Check() {
  for (const char* name : {"esp", "state", "read-back"}) UnmountLeftover(absl::StrCat(options_.work, "/", name));
  RETURN_IF_ERROR(CheckNotInUse(options_.disk, options_.medium_device));
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(options_.disk));
  contents_ = DescribeContents(contents);
  for (const Partition& part : contents.partitions) {
    if (!options_.medium_partition.empty() && part.uuid == options_.medium_partition) {
      return absl::FailedPreconditionError("this node was booted from that disk");
    }
  }
  // A whole table of somebody's counts more than a note: the note may have been all that was written so far.
  bool nobodys = contents.found.empty() || contents.found == "data" || contents.found == "PMBR";
  was_ours_ = nobodys && ReadDiskNote(*disk_, DiskNote::kInstalling).ok();
  if (contents.found.empty() || was_ours_ || options_.wipe) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the disk holds ", contents_, "; with `wipe` it would be erased"));
}

absl::Status Installer::Wipe() {
  RETURN_IF_ERROR(WriteDiskNote(*disk_, DiskNote::kInstalling, source_.version));
  // Sector 0 first: without it no table is one, however much of the rest is still there.
  RETURN_IF_ERROR(disk_->Zero(0, disk_->sector_size()));
  RETURN_IF_ERROR(disk_->Flush());
  RETURN_IF_ERROR(disk_->Zero(disk_->sector_size(), kDiskNotesStart - disk_->sector_size()));
  RETURN_IF_ERROR(disk_->Zero(kDiskNotesStart + 4096, kMiB - kDiskNotesStart - 4096));
  RETURN_IF_ERROR(disk_->Zero(disk_->size() - kMiB, kMiB));
  // What the places of our partitions begin and end with would be taken for theirs.
  for (const PlannedPartition& part : plan_) {
    RETURN_IF_ERROR(disk_->Zero(part.start, kMiB));
    RETURN_IF_ERROR(disk_->Zero(part.start + part.size - kMiB, kMiB));
  }
  RETURN_IF_ERROR(disk_->Flush());
  ReadTableAnew(*disk_);
  return absl::OkStatus();
}

absl::Status Installer::Image() {
  RETURN_IF_ERROR(Annotate(writer_->WriteSlot(), kRootALabel));
  return Annotate(writer_->WriteEsp(), kEspLabel);
}

absl::Status Installer::State() { return writer_->WriteState(); }

absl::Status Installer::Data() { return writer_->WriteData(); }

absl::Status Installer::Table() {
  RETURN_IF_ERROR(writer_->ReadBack());
  RETURN_IF_ERROR(WriteNewTable(*disk_, plan_));
  RETURN_IF_ERROR(RemoveDiskNote(*disk_, DiskNote::kInstalling));
  ReadTableAnew(*disk_);
  return absl::OkStatus();
}

absl::Status Installer::Boot() {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(options_.disk));
  const Partition* esp = FindPartition(contents, kEspLabel);
  if (esp == nullptr || !IsInstalled(contents)) return absl::DataLossError("the table that was written is not there");
  if (options_.point_boot_entries == nullptr) return absl::OkStatus();
  EspPartition partition = {static_cast<uint32_t>(esp->number), esp->start / disk_->sector_size(),
                            esp->size / disk_->sector_size(), esp->uuid};
  absl::Status status = options_.point_boot_entries(writer_->loader_name(), partition);
  if (status.ok()) return absl::OkStatus();
  progress_.warning = absl::StrCat("no boot entries (", status.message(),
                                   "): the disk boots by EFI/BOOT/BOOTX64.EFI, "
                                   "if the firmware's own order comes to it");
  tell_(progress_);
  progress_.warning.clear();
  return absl::OkStatus();
}

absl::Status Installer::Done() {
  progress_.bytes_done = progress_.bytes_total;
  return disk_->Flush();
}

}  // namespace stele::machined
