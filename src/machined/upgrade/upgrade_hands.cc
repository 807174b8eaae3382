#include "machined/upgrade/upgrade_hands.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/unique_fd.h"
#include "machined/boots/boots_controller.h"
#include "machined/init_client.h"
#include "machined/install/efi_variables.h"
#include "machined/install/loader_trial.h"
#include "machined/log.h"
#include "machined/log_store.h"

namespace stele::machined {
namespace {

constexpr uint32_t kTailLines = 20;

std::string LogTail(const LogStore& logs, const std::string& service) {
  absl::StatusOr<std::unique_ptr<LogSource>> source = logs.Open(service, {.tail_lines = kTailLines});
  absl::StatusOr<LogChunk> chunk = source.ok() ? (*source)->Next() : source.status();
  // A service that never said anything has no log: that is a fact about it, too.
  return chunk.ok() ? std::string(chunk->data.view()) : std::string();
}

// As firmware has it in its boot entries.
absl::StatusOr<EspPartition> PartitionForFirmware(const Partition& esp) {
  UniqueFd device(::open(esp.device.c_str(), O_RDONLY | O_CLOEXEC));
  if (!device.ok()) return ErrnoStatus("open ", esp.device);
  int sector = 0;  // firmware counts in the disk's own
  if (::ioctl(device.get(), BLKSSZGET, &sector) != 0) return ErrnoStatus("ask ", esp.device, " for its sector size");
  return EspPartition{static_cast<uint32_t>(esp.number), esp.start / sector, esp.size / sector, esp.uuid};
}

absl::Status MakeBootEntries(const std::string& loader, const Partition& esp) {
  ASSIGN_OR_RETURN(EspPartition partition, PartitionForFirmware(esp));
  return TryLoader(loader, partition, EfiVariables());
}

absl::Status EndTrialOfLoader(LoaderVerdict verdict, const Partition& esp) {
  ASSIGN_OR_RETURN(EspPartition partition, PartitionForFirmware(esp));
  absl::Status ended = EndLoaderTrial(verdict, partition, EfiVariables());
  return absl::IsUnimplemented(ended) ? absl::OkStatus() : ended;  // no EFI, no entries
}

}  // namespace

UpgradeController::Hands UpgradeHands(InitClient& init, BootsController& boots, LogStore& logs) {
  return {
      .reboot =
          [&boots](const std::string& reason) {
            boots.EndMachine(init_protocol::EndAction::kReboot, /*force=*/false, reason,
                             [](const absl::Status& status) {
                               if (!status.ok()) Log("error: reboot: ", status.message());
                             });
          },
      .end_trial = [&init](std::function<void(const absl::Status&)> done) { init.EndTrial(std::move(done)); },
      .log_tail = [&logs](const std::string& service) { return LogTail(logs, service); },
      .drain = PodsHaveLeft,
      .add_boot_entries = MakeBootEntries,
      .end_loader_trial = EndTrialOfLoader,
  };
}

}  // namespace stele::machined
