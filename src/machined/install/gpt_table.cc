#include "machined/install/gpt_table.h"

#include <libfdisk/libfdisk.h>
#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "base/crc32.h"
#include "machined/install/disk_note.h"

namespace stele::machined {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr char kTypeEsp[] = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
constexpr char kTypeLinux[] = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
constexpr char kTypeVar[] = "4D21B016-B534-45C2-A9FB-5C16E091FD2D";

// In a GPT header: its size, its checksum, the sector of its copy, that of the entries, how many, and the size of one.
constexpr size_t kHeaderSizeAt = 12, kHeaderSumAt = 16, kHeaderCopyAt = 32, kEntriesAt = 72, kCountAt = 80,
                 kEntrySizeAt = 84;
constexpr uint64_t kAside = 256 << 10;  // a place for entries between the table's own and the notes on the disk

template <typename Number>
Number Little(const std::string& bytes, size_t at) {
  Number number;  // the machine's order is the table's
  std::memcpy(&number, bytes.data() + at, sizeof number);
  return number;
}

// The header with the entries in another sector.
std::string WithEntriesIn(std::string header, uint64_t sector) {
  std::memcpy(header.data() + kEntriesAt, &sector, sizeof sector);
  std::memset(header.data() + kHeaderSumAt, 0, sizeof(uint32_t));
  uint32_t sum = Crc32(absl::string_view(header).substr(0, Little<uint32_t>(header, kHeaderSizeAt)));
  std::memcpy(header.data() + kHeaderSumAt, &sum, sizeof sum);
  return header;
}

using Context = std::unique_ptr<fdisk_context, void (*)(fdisk_context*)>;
using Entry = std::unique_ptr<fdisk_partition, void (*)(fdisk_partition*)>;

// libfdisk answers with negative errnos.
absl::Status FdiskStatus(int result, absl::string_view doing) {
  return result >= 0 ? absl::OkStatus() : StatusFromErrno(-result, doing);
}

const char* TypeOf(const std::string& label) {
  if (label == kEspLabel) return kTypeEsp;
  return label == kDataLabel ? kTypeVar : kTypeLinux;
}

// The disk's table and its copy, in memory.
class Scratch {
 public:
  static absl::StatusOr<Scratch> Create(const DiskFile& disk) {
    Scratch scratch(disk);
    scratch.fd_.reset(::memfd_create("table", MFD_CLOEXEC));
    if (!scratch.fd_.ok()) return ErrnoStatus("make a scratch file");
    if (::ftruncate(scratch.fd_.get(), disk.size()) != 0) return ErrnoStatus("size a scratch file");
    return scratch;
  }
  // What the disk has now.
  absl::Status Fill() {
    for (uint64_t at : {uint64_t{0}, End()}) {
      ASSIGN_OR_RETURN(std::string bytes, disk_->Read(at, at == 0 ? kDiskNotesStart : kMiB));
      if (::pwrite(fd_.get(), bytes.data(), bytes.size(), at) != static_cast<ssize_t>(bytes.size())) {
        return ErrnoStatus("fill a scratch file");
      }
    }
    return absl::OkStatus();
  }
  absl::StatusOr<Context> Assign() {
    Context context(fdisk_new_context(), fdisk_unref_context);
    if (context == nullptr) return absl::ResourceExhaustedError("no memory");
    fdisk_disable_dialogs(context.get(), 1);
    uint32_t sector = disk_->sector_size();
    RETURN_IF_ERROR(FdiskStatus(fdisk_save_user_sector_size(context.get(), sector, sector), "set the sector size"));
    RETURN_IF_ERROR(
        FdiskStatus(fdisk_assign_device_by_fd(context.get(), fd_.get(), disk_->path().c_str(), 0), "read the table"));
    return context;
  }
  // Onto a disk without a table.
  absl::Status Copy() {
    uint32_t sector = disk_->sector_size();
    RETURN_IF_ERROR(Put(End(), kMiB));
    RETURN_IF_ERROR(disk_->Flush());
    RETURN_IF_ERROR(Put(sector, kDiskNotesStart - sector));
    RETURN_IF_ERROR(disk_->Flush());
    RETURN_IF_ERROR(Put(0, sector));
    return disk_->Flush();
  }
  // Onto a disk whose table is in use. Header and entries are two writes, and the kernel takes no copy where they do
  // not fit. So the entries go to a place that nobody uses first; the header that names it is the commit, one sector.
  // Then both go where they belong in the same way.
  absl::Status Replace() {
    uint64_t sector = disk_->sector_size(), home = 2 * sector;
    RETURN_IF_ERROR(Put(End(), kMiB));
    RETURN_IF_ERROR(disk_->Flush());
    ASSIGN_OR_RETURN(std::string header, Get(sector, sector));
    ASSIGN_OR_RETURN(std::string used, disk_->Read(sector, sector));
    size_t size = size_t{Little<uint32_t>(header, kCountAt)} * Little<uint32_t>(header, kEntrySizeAt);
    if (size > kDiskNotesStart - kAside) return absl::FailedPreconditionError("the table has too many entries");
    ASSIGN_OR_RETURN(std::string entries, Get(Little<uint64_t>(header, kEntriesAt) * sector, size));
    std::vector<uint64_t> places = {home};
    if (Little<uint64_t>(used, kEntriesAt) * sector == home) places.insert(places.begin(), kAside);
    for (uint64_t place : places) {
      RETURN_IF_ERROR(disk_->Write(place, entries));
      RETURN_IF_ERROR(disk_->Flush());
      RETURN_IF_ERROR(disk_->Write(sector, WithEntriesIn(header, place / sector)));
      RETURN_IF_ERROR(disk_->Flush());
    }
    return absl::OkStatus();
  }

 private:
  explicit Scratch(const DiskFile& disk) : disk_(&disk) {}
  uint64_t End() const { return disk_->size() - kMiB; }
  absl::StatusOr<std::string> Get(uint64_t at, size_t size) const {
    std::string bytes(size, '\0');
    if (::pread(fd_.get(), bytes.data(), size, at) != static_cast<ssize_t>(size))
      return ErrnoStatus("read a scratch file");
    return bytes;
  }
  absl::Status Put(uint64_t at, size_t size) const {
    ASSIGN_OR_RETURN(std::string bytes, Get(at, size));
    return disk_->Write(at, bytes);
  }
  const DiskFile* disk_;
  UniqueFd fd_;
};

absl::Status AddPartition(fdisk_context* context, const PlannedPartition& plan) {
  Entry entry(fdisk_new_partition(), fdisk_unref_partition);
  uint64_t sector = fdisk_get_sector_size(context);
  fdisk_parttype* type = fdisk_label_get_parttype_from_string(fdisk_get_label(context, nullptr), TypeOf(plan.label));
  size_t number = 0;
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_start(entry.get(), plan.start / sector), "set the start"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_size(entry.get(), plan.size / sector), "set the size"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_name(entry.get(), plan.label.c_str()), "set the name"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_type(entry.get(), type), "set the type"));
  fdisk_partition_partno_follow_default(entry.get(), 1);
  return FdiskStatus(fdisk_add_partition(context, entry.get(), &number), "add the partition");
}

// The number of the last partition on the disk.
absl::StatusOr<size_t> LastPartition(fdisk_context* context, const std::string& label, Entry* last) {
  size_t found = 0;
  uint64_t end = 0;
  for (size_t i = 0; i < fdisk_get_npartitions(context); ++i) {
    fdisk_partition* raw = nullptr;
    if (fdisk_is_partition_used(context, i) == 0 || fdisk_get_partition(context, i, &raw) != 0) continue;
    Entry entry(raw, fdisk_unref_partition);
    if (fdisk_partition_get_end(raw) < end) continue;
    end = fdisk_partition_get_end(raw);
    found = i;
    *last = std::move(entry);
  }
  if (*last == nullptr) return absl::FailedPreconditionError("the table has no partition");
  const char* name = fdisk_partition_get_name(last->get());
  if (name == nullptr || label != name) {
    return absl::FailedPreconditionError(
        absl::StrCat("the last partition is ", name == nullptr ? "nameless" : name, ", not ", label));
  }
  return found;
}

}  // namespace

absl::Status WriteNewTable(const DiskFile& disk, const std::vector<PlannedPartition>& plan) {
  ASSIGN_OR_RETURN(Scratch scratch, Scratch::Create(disk));
  ASSIGN_OR_RETURN(Context context, scratch.Assign());
  RETURN_IF_ERROR(FdiskStatus(fdisk_create_disklabel(context.get(), "gpt"), "make a table"));
  for (const PlannedPartition& partition : plan)
    RETURN_IF_ERROR(Annotate(AddPartition(context.get(), partition), partition.label));
  RETURN_IF_ERROR(FdiskStatus(fdisk_write_disklabel(context.get()), "make the table"));
  return scratch.Copy();
}

absl::StatusOr<bool> GrowLastPartition(const DiskFile& disk, const std::string& label) {
  // Room behind a table that knows the disk's end was left there by somebody.
  ASSIGN_OR_RETURN(std::string header, disk.Read(disk.sector_size(), kHeaderCopyAt + sizeof(uint64_t)));
  if (header.compare(0, 8, "EFI PART") != 0) return absl::FailedPreconditionError("the disk has no GPT");
  if (Little<uint64_t>(header, kHeaderCopyAt) == disk.size() / disk.sector_size() - 1) return false;
  ASSIGN_OR_RETURN(Scratch scratch, Scratch::Create(disk));
  RETURN_IF_ERROR(scratch.Fill());
  ASSIGN_OR_RETURN(Context context, scratch.Assign());
  if (!fdisk_is_label(context.get(), GPT)) return absl::FailedPreconditionError("the disk has no GPT");
  Entry last(nullptr, fdisk_unref_partition);
  ASSIGN_OR_RETURN(size_t number, LastPartition(context.get(), label, &last));
  uint64_t sector = disk.sector_size();
  uint64_t start = fdisk_partition_get_start(last.get()) * sector, size = fdisk_partition_get_size(last.get()) * sector;
  uint64_t wanted = disk.size() / kMiB * kMiB - kMiB - start;
  if (start >= disk.size() || wanted <= size) return false;
  // Its size alone: everything else of the entry, UUID and name, stays.
  Entry change(fdisk_new_partition(), fdisk_unref_partition);
  RETURN_IF_ERROR(FdiskStatus(fdisk_partition_set_size(change.get(), wanted / sector), "set the size"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_set_partition(context.get(), number, change.get()), "grow the partition"));
  RETURN_IF_ERROR(FdiskStatus(fdisk_write_disklabel(context.get()), "make the table"));
  RETURN_IF_ERROR(scratch.Replace());
  return true;
}

}  // namespace stele::machined
