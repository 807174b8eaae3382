#include "machined/install/install_controller.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/file.h"
#include "machined/config_store.h"
#include "machined/install/disk_note.h"
#include "machined/install/loop_mount.h"

namespace stele::machined {
namespace {

constexpr char kRecord[] = "install", kCount[] = "medium-boots";
constexpr char kState[] = "/run/stele/state/";

absl::StatusOr<LoopMount> MountStateOf(const std::string& device, const std::string& work, bool read_only) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(device));
  const Partition* state = FindPartition(contents, kStateLabel);
  if (state == nullptr) return absl::NotFoundError(absl::StrCat(device, " has no ", kStateLabel));
  UnmountLeftover(work + "/state");
  return LoopMount::Create({device, state->start, state->size, 512}, "ext4", work + "/state", read_only);
}

int NumberIn(const absl::StatusOr<std::string>& text) {
  int number = 0;
  return text.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*text), &number) ? number : 0;
}

absl::Status CountOnState(const FoundInstall& found, const std::string& work) {
  ASSIGN_OR_RETURN(LoopMount state, MountStateOf(found.device, work, /*read_only=*/false));
  RETURN_IF_ERROR(
      ReplaceFile(absl::StrCat(state.path(), "/", kCount), absl::StrCat(found.medium_boots + 1, "\n"), 0600));
  return state.Close();
}

}  // namespace

InstallDecision DecideInstall(const FoundInstall& found, bool wipe, const std::string& wanted) {
  if (!found.installed || (wipe && found.record != wanted)) return InstallDecision::kInstall;
  return found.medium_boots < kMostMediumBoots ? InstallDecision::kBootDisk : InstallDecision::kStay;
}

absl::StatusOr<FoundInstall> FindInstall(const std::string& device, const std::string& work) {
  FoundInstall found = {.device = device};
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(device));
  found.installed = IsInstalled(contents);
  if (!found.installed) return found;
  absl::StatusOr<LoopMount> state = MountStateOf(device, work, /*read_only=*/true);
  found.medium_boots = NumberIn(ReadDiskNote(device, DiskNote::kMediumBoots));
  if (!state.ok()) return found;  // reset or broken: it boots all the same
  found.record = ReadFile(absl::StrCat(state->path(), "/", kRecord), 4096).value_or("");
  int on_state = NumberIn(ReadFile(absl::StrCat(state->path(), "/", kCount), 64));
  found.medium_boots = std::max(found.medium_boots, on_state);
  RETURN_IF_ERROR(state->Close());
  return found;
}

absl::Status CountMediumBoot(const FoundInstall& found, const std::string& work) {
  absl::Status counted = CountOnState(found, work);
  if (counted.ok()) return counted;
  absl::StatusOr<DiskFile> disk = DiskFile::Open(found.device);
  absl::Status noted =
      disk.ok() ? WriteDiskNote(*disk, DiskNote::kMediumBoots, absl::StrCat(found.medium_boots + 1)) : disk.status();
  if (noted.ok()) return noted;
  return Annotate(counted, "count this boot of the medium");
}

struct InstallController::Look {
  absl::Status status;
  absl::Status counted;
  FoundInstall found;
  InstallDecision decision = InstallDecision::kStay;
};

absl::Status InstallController::Reconcile() {
  const auto* state = node_->store().Find<resource::v1::Volume>(kStateLabel);
  // The disk was booted after all: the next boots of a medium count anew.
  if (runner_.facts().medium == BootMedium::kSlot && state != nullptr && state->ready()) {
    OnRunsFromDisk();
    return absl::OkStatus();
  }
  bool wanted =
      runner_.facts().medium == BootMedium::kMemory && node_->config() != nullptr && node_->config()->has_install();
  // Not before the node's own disk is known: that one is not to be taken.
  if (!wanted || !node_->data_ready()) return absl::OkStatus();
  // What was wrong is so until it is known better: the back-off goes on.
  if (at_work_ || given_up_ == config_.running().yaml) return wrong_;
  if (std::exchange(given_up_, std::nullopt).has_value()) failed_ = 0;
  if (std::exchange(told_later_, false)) return wrong_;
  at_work_ = true;
  auto look = std::make_shared<Look>();
  node_->loop().RunBlocking(
      [look, install = node_->config()->install(), yaml = config_.running().yaml, facts = runner_.facts(),
       places = places_] {
        absl::StatusOr<InstallSource> source = places.source(facts);
        absl::StatusOr<DiskInfo> disk = SelectDisk(install.disk(), places.disks());
        look->status = source.ok() ? disk.status() : source.status();
        if (!look->status.ok()) return;
        absl::StatusOr<FoundInstall> found = FindInstall(disk->device, places.work);
        look->status = found.status();
        if (!found.ok()) return;
        look->found = *found;
        InstallRecord record = {Sha256Hex(yaml), Sha256Hex(source->header)};
        look->decision = DecideInstall(*found, install.wipe(), record.Text());
        if (look->decision == InstallDecision::kBootDisk) look->counted = CountMediumBoot(*found, places.work);
      },
      [this, look, alive = alive_] {
        if (*alive) OnLooked(*look);
      });
  return wrong_;
}

void InstallController::OnLooked(const Look& look) {
  if (!look.status.ok()) {
    // A disk may come late; Reconcile tells it and is called again with back-off.
    return TryLater(Annotate(look.status, "install"));
  }
  if (look.decision != InstallDecision::kInstall) wrong_ = absl::OkStatus();
  switch (look.decision) {
    case InstallDecision::kInstall:
      return Install();
    case InstallDecision::kBootDisk:
      // It boots all the same; only that it did is not known the next time.
      if (!look.counted.ok())
        node_->Emit("install", look.found.device, look.counted.message(), machine::v1::SEVERITY_WARNING);
      return Reboot(absl::StrCat(look.found.device, " carries Stele: boot it"));
    case InstallDecision::kStay:
      node_->Emit(
          "install", look.found.device,
          "the disk carries Stele, and the firmware keeps starting the medium: remove it, or change the boot order",
          machine::v1::SEVERITY_WARNING);
  }
}

void InstallController::OnRunsFromDisk() {
  if (std::exchange(count_removed_, true)) return;
  ::unlink(absl::StrCat(kState, kCount).c_str());
  node_->loop().RunBlocking(
      [device = config_.disk()] {
        if (device.empty() || !ReadDiskNote(device, DiskNote::kMediumBoots).ok()) return;
        absl::StatusOr<DiskFile> disk = DiskFile::Open(device);
        // One that stays makes a medium that is started after all be left the sooner.
        if (disk.ok()) RemoveDiskNote(*disk, DiskNote::kMediumBoots).IgnoreError();
      },
      [] {});
}

void InstallController::TryLater(const absl::Status& why) {
  at_work_ = false;
  wrong_ = why;
  told_later_ = true;
  Wake();
}

void InstallController::OnInstallFailed(const absl::Status& why) {
  if (++failed_ < kInstallTries) return TryLater(why);
  at_work_ = false;
  given_up_ = config_.running().yaml;
  node_->Emit("install", "disk",
              absl::StrCat(why.message(), ": given up after ", failed_,
                           " tries. Look at the disk, then apply a configuration that names another, reboot this node, "
                           "or run `osctl install`"),
              machine::v1::SEVERITY_ERROR);
}

void InstallController::Install() {
  if (runner_.busy()) return TryLater(absl::UnavailableError("install: somebody else is installing"));
  const config::v1::InstallConfig& install = node_->config()->install();
  InstallRunner::Request request = {.disk = install.disk(), .wipe = install.wipe(), .yaml = config_.running().yaml};
  auto step = std::make_shared<std::string>();
  runner_.Start(
      request,
      [this, step, alive = alive_](const machine::v1::InstallResponse& response) {
        if (!*alive) return;
        if (!response.warning().empty())
          node_->Emit("install", "disk", response.warning(), machine::v1::SEVERITY_WARNING);
        if (std::exchange(*step, response.step()) != response.step()) node_->Emit("install", "disk", response.step());
      },
      [this, alive = alive_](const absl::Status& status) {
        if (!*alive) return;
        if (status.ok()) return Reboot("installed as the configuration says");
        OnInstallFailed(status);
      });
}

void InstallController::Reboot(const std::string& reason) {
  node_->Emit("install", "reboot", reason);
  boots_.EndMachine(init_protocol::EndAction::kReboot, /*force=*/false, reason,
                    [this, alive = alive_](const absl::Status& status) {
                      if (*alive && !status.ok())
                        node_->Emit("install", "reboot", status.message(), machine::v1::SEVERITY_ERROR);
                    });
}

}  // namespace stele::machined
