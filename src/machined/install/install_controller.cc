#include "machined/install/install_controller.h"

#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/file.h"
#include "machined/config_store.h"
#include "machined/install/loop_mount.h"

namespace stele::machined {
namespace {

constexpr int kMediumBoots = 3;
constexpr char kRecord[] = "install", kCount[] = "medium-boots";
constexpr char kWork[] = "/run/stele/install";
constexpr char kState[] = "/run/stele/state/";

absl::StatusOr<LoopMount> MountStateOf(const std::string& device, const std::string& work, bool read_only) {
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(device));
  const Partition* state = FindPartition(contents, kStateLabel);
  if (state == nullptr) return absl::NotFoundError(absl::StrCat(device, " has no ", kStateLabel));
  UnmountLeftover(work + "/state");
  return LoopMount::Create({device, state->start, state->size, 512}, "ext4", work + "/state", read_only);
}

}  // namespace

InstallDecision DecideInstall(const FoundInstall& found, bool wipe, const std::string& wanted) {
  if (!found.installed || (wipe && found.record != wanted)) return InstallDecision::kInstall;
  return found.medium_boots < kMediumBoots ? InstallDecision::kBootDisk : InstallDecision::kStay;
}

absl::StatusOr<FoundInstall> FindInstall(const std::string& device, const std::string& work) {
  FoundInstall found = {.device = device};
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(device));
  found.installed = IsInstalled(contents);
  if (!found.installed) return found;
  absl::StatusOr<LoopMount> state = MountStateOf(device, work, /*read_only=*/true);
  if (!state.ok()) return found;  // reset or broken: it boots all the same
  found.record = ReadFile(absl::StrCat(state->path(), "/", kRecord), 4096).value_or("");
  std::string count = ReadFile(absl::StrCat(state->path(), "/", kCount), 64).value_or("0");
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(count), &found.medium_boots)) found.medium_boots = 0;
  RETURN_IF_ERROR(state->Close());
  return found;
}

absl::Status CountMediumBoot(const FoundInstall& found, const std::string& work) {
  ASSIGN_OR_RETURN(LoopMount state, MountStateOf(found.device, work, /*read_only=*/false));
  RETURN_IF_ERROR(
      ReplaceFile(absl::StrCat(state.path(), "/", kCount), absl::StrCat(found.medium_boots + 1, "\n"), 0600));
  return state.Close();
}

struct InstallController::Look {
  absl::Status status;
  FoundInstall found;
  InstallDecision decision = InstallDecision::kStay;
};

absl::Status InstallController::Reconcile() {
  const auto* state = node_->store().Find<resource::v1::Volume>(kStateLabel);
  // The disk was booted after all: the next boots of a medium count anew.
  if (runner_.facts().medium == BootMedium::kSlot && state != nullptr && state->ready()) {
    ::unlink(absl::StrCat(kState, kCount).c_str());
    return absl::OkStatus();
  }
  bool wanted =
      runner_.facts().medium == BootMedium::kMemory && node_->config() != nullptr && node_->config()->has_install();
  // Not before the node's own disk is known: that one is not to be taken.
  if (!wanted || at_work_ || !node_->data_ready()) return absl::OkStatus();
  if (!found_wrong_.ok()) return std::exchange(found_wrong_, absl::OkStatus());  // told, and tried again later
  at_work_ = true;
  auto look = std::make_shared<Look>();
  node_->loop().RunBlocking(
      [look, install = node_->config()->install(), yaml = config_.running().yaml, facts = runner_.facts()] {
        absl::StatusOr<InstallSource> source = OpenMediumSource(facts, {});
        absl::StatusOr<DiskInfo> disk = SelectDisk(install.disk(), ListDisks());
        look->status = source.ok() ? disk.status() : source.status();
        if (!look->status.ok()) return;
        absl::StatusOr<FoundInstall> found = FindInstall(disk->device, kWork);
        look->status = found.status();
        if (!found.ok()) return;
        look->found = *found;
        InstallRecord record = {Sha256Hex(yaml), Sha256Hex(source->header)};
        look->decision = DecideInstall(*found, install.wipe(), record.Text());
        if (look->decision == InstallDecision::kBootDisk) look->status = CountMediumBoot(*found, kWork);
      },
      [this, look, alive = alive_] {
        if (*alive) OnLooked(*look);
      });
  return absl::OkStatus();
}

void InstallController::OnLooked(const Look& look) {
  if (!look.status.ok()) {
    // A disk may come late; Reconcile tells it and is called again with back-off.
    at_work_ = false;
    found_wrong_ = Annotate(look.status, "install");
    return Wake();
  }
  switch (look.decision) {
    case InstallDecision::kInstall:
      return Install();
    case InstallDecision::kBootDisk:
      return Reboot(absl::StrCat(look.found.device, " carries Stele: boot it"));
    case InstallDecision::kStay:
      node_->Emit(
          "install", look.found.device,
          "the disk carries Stele, and the firmware keeps starting the medium: remove it, or change the boot order",
          machine::v1::SEVERITY_WARNING);
  }
}

void InstallController::Install() {
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
        at_work_ = false;
        found_wrong_ = status;
        Wake();
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
