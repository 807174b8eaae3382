#include "machined/install/grow.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <sys/ioctl.h>

#include <cstring>

#include "machined/install/disk_file.h"
#include "machined/install/gpt_table.h"
#include "machined/storage_probe.h"

namespace stele::machined {
namespace {

// linux/ext4.h is not among the kernel's headers for programs.
constexpr unsigned long kExt4ResizeFs = _IOW('f', 16, uint64_t);
constexpr uint64_t kWorthwhile = 16 << 20;  // less than that may be the rest that ext4 leaves at the end of a device

// The kernel goes on with the sizes it read at its start; nobody may be made to read the table anew while others use
// it.
absl::Status TellKernel(const DiskFile& disk, const Partition& partition) {
  blkpg_partition change = {};
  change.start = partition.start;
  change.length = partition.size;
  change.pno = partition.number;
  blkpg_ioctl_arg argument = {.op = BLKPG_RESIZE_PARTITION, .flags = 0, .datalen = sizeof change, .data = &change};
  if (::ioctl(disk.fd(), BLKPG, &argument) != 0) return ErrnoStatus("tell the kernel of the grown partition");
  return absl::OkStatus();
}

struct Ext4Size {
  uint64_t blocks = 0, block_size = 0;
};

absl::StatusOr<Ext4Size> ReadExt4Size(const DiskFile& device) {
  absl::StatusOr<std::string> super = device.Read(1024, 1024);
  RETURN_IF_ERROR(super.status());
  uint32_t low = 0, high = 0, log = 0, features = 0;
  std::memcpy(&low, super->data() + 4, 4);
  std::memcpy(&log, super->data() + 24, 4);
  std::memcpy(&features, super->data() + 0x60, 4);
  std::memcpy(&high, super->data() + 0x150, 4);
  if (super->substr(56, 2) != "\x53\xef" || log > 6) return absl::FailedPreconditionError("not an ext4");
  constexpr uint32_t k64Bit = 0x80;
  return Ext4Size{low | (features & k64Bit ? static_cast<uint64_t>(high) << 32 : 0), 1024ULL << log};
}

}  // namespace

absl::StatusOr<bool> GrowDataPartition(const std::string& path) {
  ASSIGN_OR_RETURN(DiskFile disk, DiskFile::Open(path));
  ASSIGN_OR_RETURN(bool grew, GrowLastPartition(disk, kDataLabel));
  if (!grew || !disk.is_block()) return grew;
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(path));
  const Partition* data = FindPartition(contents, kDataLabel);
  if (data == nullptr) return absl::DataLossError("the grown table is not there");
  RETURN_IF_ERROR(TellKernel(disk, *data));
  return true;
}

absl::StatusOr<bool> GrowFilesystem(const std::string& path, const std::string& mount) {
  ASSIGN_OR_RETURN(DiskFile device, DiskFile::Open(path));
  ASSIGN_OR_RETURN(Ext4Size size, ReadExt4Size(device));
  uint64_t wanted = device.size() / size.block_size;
  if (device.size() < size.blocks * size.block_size + kWorthwhile) return false;
  UniqueFd folder(::open(mount.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return ErrnoStatus("open ", mount);
  if (::ioctl(folder.get(), kExt4ResizeFs, &wanted) != 0) return ErrnoStatus("grow the file system of ", path);
  if (::syncfs(folder.get()) != 0) return ErrnoStatus("sync ", mount);
  return true;
}

}  // namespace stele::machined
