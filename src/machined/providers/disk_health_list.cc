// The `diskhealth` resources: asks each NVMe and ATA disk.
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>

#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "machined/providers/disk_health.h"
#include "machined/providers/kernel_files.h"
#include "machined/providers/provider.h"

namespace stele::machined {
namespace {

using resource::v1::DiskHealth;

constexpr uint32_t kPatienceMs = 5'000;
constexpr size_t kAnswer = 512;

absl::StatusOr<DiskHealth> AskNvme(int fd) {
  char log[kAnswer] = {};
  nvme_admin_cmd command = {};
  command.opcode = 0x02;      // Get Log Page
  command.nsid = 0xffffffff;  // of the whole controller
  command.addr = reinterpret_cast<uintptr_t>(log);
  command.data_len = sizeof(log);
  command.cdw10 = (sizeof(log) / 4 - 1) << 16 | 0x02;  // SMART / Health Information
  command.timeout_ms = kPatienceMs;
  if (::ioctl(fd, NVME_IOCTL_ADMIN_CMD, &command) != 0) return ErrnoStatus("ask for the health log");
  return ParseNvmeLog(absl::string_view(log, sizeof(log)));
}

// ATA PASS-THROUGH (16), SAT-3 12.2.2, of the command SMART (0xb0).
struct AtaCommand {
  uint8_t protocol;  // 3: no data, 4: PIO in
  uint8_t flags;
  uint8_t feature;
};
constexpr AtaCommand kReadData = {4, 0x0e, 0xd0};      // from the device, blocks, their number in the count
constexpr AtaCommand kReturnStatus = {3, 0x20, 0xda};  // with the registers in the sense data

struct AtaAnswer {
  char data[kAnswer] = {};
  uint8_t sense[32] = {};
};

absl::Status AskAta(int fd, const AtaCommand& wanted, AtaAnswer* answer) {
  bool reads = wanted.protocol == 4;
  uint8_t cdb[16] = {0x85,
                     static_cast<uint8_t>(wanted.protocol << 1),
                     wanted.flags,
                     0,
                     wanted.feature,
                     0,
                     static_cast<uint8_t>(reads ? 1 : 0),
                     0,
                     0,
                     0,
                     0x4f,
                     0,
                     0xc2,
                     0,
                     0xb0,
                     0};
  sg_io_hdr io = {};
  io.interface_id = 'S';
  io.cmdp = cdb;
  io.cmd_len = sizeof(cdb);
  io.dxfer_direction = reads ? SG_DXFER_FROM_DEV : SG_DXFER_NONE;
  io.dxferp = reads ? answer->data : nullptr;
  io.dxfer_len = reads ? sizeof(answer->data) : 0;
  io.sbp = answer->sense;
  io.mx_sb_len = sizeof(answer->sense);
  io.timeout = kPatienceMs;
  if (::ioctl(fd, SG_IO, &io) != 0) return ErrnoStatus("ask for SMART");
  if (io.host_status != 0 || (io.driver_status & 0x0f & ~0x08) != 0)
    return absl::UnavailableError("the disk does not answer");
  // A check condition is how registers come back.
  if (reads && io.status != 0) return absl::FailedPreconditionError("the disk has no SMART");
  return absl::OkStatus();
}

absl::StatusOr<DiskHealth> AskSata(int fd) {
  AtaAnswer data;
  RETURN_IF_ERROR(AskAta(fd, kReadData, &data));
  ASSIGN_OR_RETURN(DiskHealth health, ParseAtaSmart(absl::string_view(data.data, sizeof(data.data))));
  AtaAnswer status;
  RETURN_IF_ERROR(AskAta(fd, kReturnStatus, &status));
  // Descriptor sense 0x72 with an ATA status return descriptor (0x09): LBA mid and high at 9 and 11 of it.
  const uint8_t* descriptor = status.sense + 8;
  if (status.sense[0] != 0x72 || descriptor[0] != 0x09)
    return absl::UnavailableError("the disk does not tell its status");
  bool exceeded = descriptor[9] == 0xf4 && descriptor[11] == 0x2c;
  health.set_healthy(!exceeded);
  if (exceeded) health.add_warnings("threshold exceeded");
  return health;
}

}  // namespace

absl::StatusOr<Provided> ReadDiskHealth() {
  Provided all;
  for (const std::string& name : NamesIn("/sys/block")) {
    bool nvme = absl::StartsWith(name, "nvme");
    bool ata = absl::StartsWith(name, "sd") && TextOf(absl::StrCat("/sys/block/", name, "/device/vendor")) == "ATA";
    if (!nvme && !ata) continue;
    UniqueFd fd(::open(absl::StrCat("/dev/", name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd.ok()) continue;
    absl::StatusOr<DiskHealth> health = nvme ? AskNvme(fd.get()) : AskSata(fd.get());
    if (health.ok()) *Provide<DiskHealth>(all, name) = *std::move(health);
  }
  return all;
}

}  // namespace stele::machined
