#include "machined/install/installer.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "image_file/sha256.h"
#include "machined/config_store.h"
#include "machined/install/disk_note.h"
#include "machined/install/disk_selector.h"
#include "machined/install/gpt_table.h"
#include "machined/install/loop_mount.h"
#include "machined/install/remove_tree.h"
#include "machined/storage.h"

namespace stele::machined {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kFlushEvery = 32 * kMiB;  // so that progress is what the disk has, and dirty pages stay few
constexpr char kLoaderConf[] = "timeout 0\neditor no\n";
constexpr absl::Duration kFormatTimeout = absl::Minutes(10);

const std::vector<std::string>& Environment() {
  static const std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  return environment;
}

uint64_t RoundUp(uint64_t size) { return (size + 4095) / 4096 * 4096; }

// SHA-256 of a file, hex, in bounded memory.
absl::StatusOr<std::string> FileSha256(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", path);
  image_file::Sha256 sum;
  std::string buffer(1 << 18, '\0');
  while (true) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus("read ", path);
    if (got == 0) return absl::BytesToHexString(sum.Finish());
    sum.Update(absl::string_view(buffer.data(), got));
  }
}

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
  progress_.bytes_total = source_.loader.size * 2 + source_.uki.size + source_.root.size + sizeof kLoaderConf - 1;
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

const PlannedPartition& Installer::Planned(const std::string& label) const {
  return *std::find_if(plan_.begin(), plan_.end(), [&](const PlannedPartition& part) { return part.label == label; });
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
  uint64_t slot = Planned(kRootALabel).size, esp = Planned(kEspLabel).size;
  if (source_.root.size > slot) return absl::FailedPreconditionError("the image's root is larger than a root slot");
  // Room for a second UKI and loader, and for what FAT itself needs: else no upgrade would fit.
  if (2 * (source_.uki.size + source_.loader.size) + 16 * kMiB > esp) {
    return absl::FailedPreconditionError("the image's UKI is too large for the ESP");
  }
  return absl::OkStatus();
}

absl::Status Installer::Check() {
  for (const char* name : {"esp", "state"}) UnmountLeftover(Target(name));
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
  RETURN_IF_ERROR(Annotate(WriteSlot(), kRootALabel));
  return Annotate(WriteEsp(), kEspLabel);
}

absl::Status Installer::WriteSlot() {
  uint64_t start = Planned(kRootALabel).start, unflushed = 0;
  image_file::Sha256 sum;
  absl::Status copied = source_.root.read([&](uint64_t offset, absl::string_view chunk) -> absl::Status {
    if (offset + chunk.size() > source_.root.size) return absl::DataLossError("the root is longer than it says");
    sum.Update(chunk);
    RETURN_IF_ERROR(disk_->Write(start + offset, chunk));
    unflushed += chunk.size();
    if (unflushed >= kFlushEvery) {
      unflushed = 0;
      RETURN_IF_ERROR(disk_->Flush());
    }
    Count(chunk.size());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(copied);
  root_sha256_ = absl::BytesToHexString(sum.Finish());
  return disk_->Flush();
}

absl::StatusOr<std::string> Installer::LoaderName() {
  image_file::Sha256 sum;
  RETURN_IF_ERROR(source_.loader.read([&](uint64_t, absl::string_view chunk) {
    sum.Update(chunk);
    return absl::OkStatus();
  }));
  return absl::StrCat("EFI/systemd/boot-", absl::BytesToHexString(sum.Finish()).substr(0, 8), ".efi");
}

absl::Status Installer::WriteEspFile(const std::string& root, const std::string& path,
                                     const InstallSource::Part& part) {
  std::string file = absl::StrCat(root, "/", path);
  RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/'))));
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.ok()) return ErrnoStatus("make ", path);
  image_file::Sha256 sum;
  absl::Status copied = part.read([&](uint64_t, absl::string_view chunk) -> absl::Status {
    sum.Update(chunk);
    RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), chunk), path));
    Count(chunk.size());
    return absl::OkStatus();
  });
  RETURN_IF_ERROR(copied);
  if (::fsync(fd.get()) != 0) return ErrnoStatus("flush ", path);
  esp_files_.emplace_back(path, absl::BytesToHexString(sum.Finish()));
  return absl::OkStatus();
}

absl::Status Installer::WriteEsp() {
  const PlannedPartition& esp = Planned(kEspLabel);
  ASSIGN_OR_RETURN(loader_name_, LoaderName());
  LoopRange range = {options_.disk, esp.start, esp.size, disk_->sector_size()};
  std::vector<std::string> argv = options_.make_esp;
  bool fat = options_.esp_type == "vfat";
  if (fat) {
    argv.insert(argv.end(),
                {"-S", absl::StrCat(disk_->sector_size()), "--offset", absl::StrCat(esp.start / disk_->sector_size())});
  } else {
    argv.insert(argv.end(), {"-E", absl::StrCat("offset=", esp.start)});
  }
  argv.insert(argv.end(), {options_.disk, absl::StrCat(esp.size / 1024, fat ? "" : "k")});
  RETURN_IF_ERROR(Annotate(RunChecked(argv, Environment(), kFormatTimeout), "make the file system"));
  RETURN_IF_ERROR(disk_->Flush());
  ASSIGN_OR_RETURN(LoopMount mount, LoopMount::Create(range, options_.esp_type, Target("esp"), false));
  InstallSource::Part conf = {sizeof kLoaderConf - 1,
                              [](const DiskFile::Sink& sink) { return sink(0, absl::string_view(kLoaderConf)); }};
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "loader/loader.conf", conf));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "EFI/BOOT/BOOTX64.EFI", source_.loader));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), loader_name_, source_.loader));
  RETURN_IF_ERROR(WriteEspFile(mount.path(), "EFI/Linux/stele-1.efi", source_.uki));
  RETURN_IF_ERROR(mount.Close());
  return disk_->Flush();
}

absl::Status Installer::State() {
  std::string folder = Target("state-files");
  // Left by a run that was killed.
  RETURN_IF_ERROR(RemoveTree(folder));
  std::vector<std::pair<std::string, std::string>> files = options_.state_files;
  files.emplace_back("upgrade/a.manifest", source_.header);
  state_files_.clear();
  for (const auto& [path, bytes] : files) {
    std::string file = absl::StrCat(folder, "/", path);
    RETURN_IF_ERROR(MakeDirectories(file.substr(0, file.rfind('/')), 0700));
    RETURN_IF_ERROR(ReplaceFile(file, bytes, 0600));
    state_files_.emplace_back(path, Sha256Hex(bytes));
  }
  const PlannedPartition& state = Planned(kStateLabel);
  absl::Status made = MakeExt4(options_.disk, state.start, state.size, kStateLabel, options_.tools, folder);
  RETURN_IF_ERROR(RemoveTree(folder));
  RETURN_IF_ERROR(made);
  return disk_->Flush();
}

absl::Status Installer::Data() {
  const PlannedPartition& data = Planned(kDataLabel);
  RETURN_IF_ERROR(MakeExt4(options_.disk, data.start, data.size, kDataLabel, options_.tools));
  return disk_->Flush();
}

absl::Status Installer::ReadBackSlot() {
  image_file::Sha256 sum;
  uint64_t start = Planned(kRootALabel).start, left = source_.root.size;
  RETURN_IF_ERROR(disk_->ReadBack(start, RoundUp(source_.root.size), [&](uint64_t, absl::string_view bytes) {
    bytes = bytes.substr(0, left);
    left -= bytes.size();
    sum.Update(bytes);
    return absl::OkStatus();
  }));
  if (absl::BytesToHexString(sum.Finish()) == root_sha256_) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(kRootALabel, ": the disk does not hold what was written"));
}

absl::Status Installer::ReadBackFiles(const std::string& label, const std::string& fstype) {
  const PlannedPartition& part = Planned(label);
  bool esp = label == kEspLabel;
  LoopRange range = {options_.disk, part.start, part.size, disk_->sector_size()};
  ASSIGN_OR_RETURN(LoopMount mount, LoopMount::Create(range, fstype, Target(esp ? "esp" : "state"), true));
  for (const auto& [path, expected] : esp ? esp_files_ : state_files_) {
    absl::StatusOr<std::string> found = FileSha256(absl::StrCat(mount.path(), "/", path));
    RETURN_IF_ERROR(Annotate(found.status(), label));
    if (*found != expected) return absl::DataLossError(absl::StrCat(label, ": ", path, " is not what was written"));
  }
  return mount.Close();
}

absl::Status Installer::ReadBackData() {
  constexpr size_t kMagicAt = 1024 + 56;  // in ext4's superblock
  std::string head;
  RETURN_IF_ERROR(disk_->ReadBack(Planned(kDataLabel).start, 4096, [&](uint64_t, absl::string_view bytes) {
    head = std::string(bytes);
    return absl::OkStatus();
  }));
  if (head.substr(kMagicAt, 2) == "\x53\xef") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(kDataLabel, ": the disk does not hold the file system that was made"));
}

absl::Status Installer::Table() {
  RETURN_IF_ERROR(disk_->DropPages());
  RETURN_IF_ERROR(ReadBackSlot());
  RETURN_IF_ERROR(ReadBackFiles(kEspLabel, options_.esp_type));
  RETURN_IF_ERROR(ReadBackFiles(kStateLabel, "ext4"));
  RETURN_IF_ERROR(ReadBackData());
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
  absl::Status status = options_.point_boot_entries(loader_name_, partition);
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
