#include "machined/storage_format.h"

#include <fcntl.h>
#include <libfdisk/libfdisk.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/strip.h"
#include "base/subprocess.h"
#include "base/unique_fd.h"

namespace stele::machined {
namespace {

constexpr char kTypeLinux[] = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
constexpr char kTypeVar[] = "4D21B016-B534-45C2-A9FB-5C16E091FD2D";
constexpr absl::Duration kFormatTimeout = absl::Minutes(5);
constexpr absl::Duration kCheckTimeout = absl::Minutes(10);

const std::vector<std::string>& Environment() {
  static const std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  return environment;
}

// libfdisk answers with negative errnos.
absl::Status FdiskStatus(int result, absl::string_view doing) {
  return result >= 0 ? absl::OkStatus() : StatusFromErrno(-result, doing);
}

absl::Status Flush(int fd, const std::string& disk) {
  if (::fsync(fd) != 0) return ErrnoStatus("flush ", disk);
  return absl::OkStatus();
}

absl::Status AddPartition(fdisk_context* context, const PlannedPartition& plan) {
  fdisk_label* label = fdisk_get_label(context, nullptr);
  fdisk_parttype* type = fdisk_label_get_parttype_from_string(label, plan.label == kDataLabel ? kTypeVar : kTypeLinux);
  std::unique_ptr<fdisk_partition, void (*)(fdisk_partition*)> partition(fdisk_new_partition(), fdisk_unref_partition);
  uint64_t sector = fdisk_get_sector_size(context);
  size_t number = 0;
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_start(partition.get(), plan.start / sector), "set the start"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_size(partition.get(), plan.size / sector), "set the size"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_name(partition.get(), plan.label.c_str()), "set the name"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_type(partition.get(), type), "set the type"));
  fdisk_partition_partno_follow_default(partition.get(), 1);
  return FdiskStatus(fdisk_add_partition(context, partition.get(), &number), "add the partition");
}

absl::Status WriteTable(int fd, const std::string& disk, const std::vector<PlannedPartition>& plan) {
  std::unique_ptr<fdisk_context, void (*)(fdisk_context*)> context(fdisk_new_context(), fdisk_unref_context);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory");
  fdisk_disable_dialogs(context.get(), 1);
  RETURN_IF_ERROR(FdiskStatus(fdisk_assign_device_by_fd(context.get(), fd, disk.c_str(), 0), "open the disk"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_create_disklabel(context.get(), "gpt"), "make a table"));
  for (const PlannedPartition& partition : plan) {
    RETURN_IF_ERROR(Annotate(AddPartition(context.get(), partition), partition.label));
  }
  RETURN_IF_ERROR(FdiskStatus(fdisk_write_disklabel(context.get()), "write it"));
  RETURN_IF_ERROR(Flush(fd, disk));
  struct stat info;
  if (::fstat(fd, &info) != 0 || !S_ISBLK(info.st_mode)) return absl::OkStatus();
  // One by one (BLKPG), rather than have the kernel read the table: that fails while udev has a look at the disk.
  std::unique_ptr<fdisk_table, void (*)(fdisk_table*)> before(fdisk_new_table(), fdisk_unref_table);
  return FdiskStatus(fdisk_reread_changes(context.get(), before.get()), "tell the kernel of it");
}

}  // namespace

absl::Status MakeExt4(const std::string& device, uint64_t offset, uint64_t size, const std::string& label,
                      const StorageTools& tools, const std::string& contents) {
  std::vector<std::string> argv = {
      tools.mke2fs, "-q", "-F", "-t", "ext4", "-L", label, "-b", "4096", "-m", "0", "-E",
      // Lazy, and without asking a disk to discard first: a minute on a large one.
      absl::StrCat("offset=", offset, ",lazy_itable_init=1,lazy_journal_init=1,nodiscard")};
  if (!contents.empty()) argv.insert(argv.end(), {"-d", contents});
  argv.insert(argv.end(), {device, absl::StrCat(size / 1024, "k")});
  return Annotate(RunChecked(argv, Environment(), kFormatTimeout), absl::StrCat("make the file system ", label));
}

absl::Status FormatEmptyDisk(const std::string& disk, const StorageTools& tools) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(disk));
  if (!contents.found.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(disk, " is not empty: it holds ", contents.found));
  }
  absl::StatusOr<std::vector<PlannedPartition>> plan = PlanPartitions(contents.size);
  RETURN_IF_ERROR(Annotate(plan.status(), disk));
  {
    // Mounted, or part of something: then it is not empty, whatever it looks like.
    UniqueFd alone(::open(disk.c_str(), O_RDWR | O_CLOEXEC | O_EXCL));
    if (!alone.ok() && errno == EBUSY) return absl::FailedPreconditionError(absl::StrCat(disk, " is in use"));
    if (!alone.ok()) return ErrnoStatus("open ", disk);
  }
  for (const PlannedPartition& partition : *plan) {
    RETURN_IF_ERROR(Annotate(MakeExt4(disk, partition.start, partition.size, partition.label, tools), disk));
  }
  UniqueFd fd(::open(disk.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus("open ", disk);
  RETURN_IF_ERROR(Flush(fd.get(), disk));
  return Annotate(WriteTable(fd.get(), disk, *plan), absl::StrCat("partition ", disk));
}

absl::Status FormatPartition(const std::string& disk, const Partition& partition, const StorageTools& tools) {
  if (!partition.fstype.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(partition.label, " is not empty: it holds ", partition.fstype));
  }
  if (partition.device.empty()) return MakeExt4(disk, partition.start, partition.size, partition.label, tools);
  return MakeExt4(partition.device, 0, partition.size, partition.label, tools);
}

absl::Status CheckFilesystem(const std::string& device, bool force, const StorageTools& tools) {
  std::vector<std::vector<std::string>> attempts = {{tools.e2fsck, "-p", device}};
  if (force) attempts.push_back({tools.e2fsck, "-f", "-y", device});
  std::string told;
  for (const std::vector<std::string>& argv : attempts) {
    ASSIGN_OR_RETURN(SubprocessResult result, RunSubprocess(argv, Environment(), kCheckTimeout));
    // Bits: 1 mended, 2 mended and would have a mounted one rebooted for, 4 left broken, 8 and more: could not run.
    if (result.signal == 0 && result.exit_code < 4) return absl::OkStatus();
    told = std::string(absl::StripTrailingAsciiWhitespace(result.output)).substr(0, 300);
  }
  return absl::DataLossError(absl::StrCat("check ", device, ": ", told));
}

}  // namespace stele::machined
