// What is recorded. Each scenario calls the product's own code, the code that a node runs, between two marks that say
// from where on its result is allowed and from where on it is promised (scenarios.py holds states against them).

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "image_file/signature.h"
#include "lab_machine.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/staging.h"

namespace stele::lab {
namespace {

using machined::Staging;
using machined::UpgradePlace;
using machined::UpgradeStore;

constexpr size_t kPiece = 256 * 1024;  // what a client sends at once

absl::Status GoOn() { return absl::OkStatus(); }

UpgradeStore Store() { return UpgradeStore(absl::StrCat(kState, "/upgrade")); }

// As machined finds it when it starts: `running` is the image in slot a, or the one in slot b, booted as `entry`.
absl::StatusOr<UpgradePlace> Place(const Machine& machine, const std::string& running, const std::string& entry = "") {
  ASSIGN_OR_RETURN(std::string root_hash, Payload(running + ".root_hash"));
  UpgradePlace place;
  place.esp = machined::EspMount(machine.esp_device(), kEsp);
  place.running_slot = running == "A" ? "a" : "b";
  place.other_slot = running == "A" ? "b" : "a";
  place.running_device = machine.slot(place.running_slot);
  place.other_device = machine.slot(place.other_slot);
  place.running_root_hash = root_hash;
  place.running_version = running == "A" ? "0.1.0" : "0.2.0";
  place.architecture = "x86_64";
  place.trial = !entry.empty();
  if (place.trial) place.entry = "\\EFI\\Linux\\" + entry;
  RETURN_IF_ERROR(place.esp.MountReadOnly());
  return place;
}

// Sends the image file as a client does, from where the node asks for it.
absl::Status Stage(const UpgradePlace& place) {
  ASSIGN_OR_RETURN(std::string file, Payload("image.file"));
  ASSIGN_OR_RETURN(std::string header, Payload("B.header"));
  ASSIGN_OR_RETURN(image_file::TrustedKeys keys, image_file::TrustedKeys::LoadFiles({"/payload/key.pem"}));
  UpgradeStore store = Store();
  uint64_t at = 0;
  bool told = false;
  Staging::Callbacks callbacks;
  callbacks.begins = [](const char*) {};
  callbacks.keep_going = GoOn;
  callbacks.progress = [&](const Staging::Progress& progress) {
    if (std::string(progress.step) == "write" && !std::exchange(told, true)) at = progress.offset;
  };
  callbacks.next = [&]() -> absl::StatusOr<std::string> {
    std::string piece = at < file.size() ? file.substr(at, kPiece) : "";
    at += piece.size();
    return piece;
  };
  return Staging(place, store, keys, {.header = header, .asked_by = "the lab"}, callbacks).Run();
}

absl::Status WithoutWarnings(absl::Status status, const std::vector<std::string>& warnings) {
  return status.ok() && !warnings.empty() ? absl::InternalError("warned: " + warnings[0]) : status;
}

// A new image with a new loader. The boot entries are firmware variables, on no disk: a mark says when they change.
absl::Status Upgrade(Machine& machine) {
  ASSIGN_OR_RETURN(UpgradePlace place, Place(machine, "A"));
  RETURN_IF_ERROR(machine.Mark("stage"));
  RETURN_IF_ERROR(Stage(place));
  RETURN_IF_ERROR(machine.Mark("stage-done"));
  RETURN_IF_ERROR(machine.Mark("activate"));
  std::vector<std::string> warnings;
  auto flip = [&machine](const std::string&) { return machine.Mark("flip"); };
  absl::Status status = machined::ActivateStaged(place, Store(), flip, {.asked_by = "the lab"}, GoOn, &warnings);
  RETURN_IF_ERROR(WithoutWarnings(status, warnings));
  return machine.Mark("activate-done");
}

absl::Status Bless(Machine& machine) {
  ASSIGN_OR_RETURN(UpgradePlace place, Place(machine, "B", "stele-3+2-1.efi"));
  RETURN_IF_ERROR(machine.Mark("bless"));
  std::vector<std::string> warnings;
  RETURN_IF_ERROR(WithoutWarnings(machined::BlessRunning(place, Store(), &warnings), warnings));
  return machine.Mark("bless-done");
}

absl::Status RollbackOnTrial(Machine& machine) {
  ASSIGN_OR_RETURN(UpgradePlace place, Place(machine, "B", "stele-3+2-1.efi"));
  RETURN_IF_ERROR(machine.Mark("failed"));
  RETURN_IF_ERROR(machined::FailRunning(place, Store(), "it was never healthy"));
  return machine.Mark("failed-done");
}

absl::Status RollbackGood(Machine& machine) {
  ASSIGN_OR_RETURN(UpgradePlace place, Place(machine, "B"));
  ASSIGN_OR_RETURN(std::string header, Payload("A.header"));
  RETURN_IF_ERROR(Store().SaveManifest("a", header));
  RETURN_IF_ERROR(machine.Mark("retry"));
  RETURN_IF_ERROR(machined::ActivateOther(place, Store(), {.asked_by = "the lab"}, false, GoOn).status());
  return machine.Mark("retry-done");
}

absl::Status WrongBless(Machine& machine) { return WrongRename(machine, "stele-3+2-1.efi", "stele-3.efi"); }

constexpr Scenario kScenarios[] = {
    {"upgrade", Upgrade},
    {"bless", Bless},
    {"rollback-trial", RollbackOnTrial},
    {"rollback-good", RollbackGood},
    {"config", Config},
    {"staged-config", StagedConfig},
    {"tried-config", TriedConfig},
    {"boots", Boots},
    {"failures", Failures},
    {"install", Install, Needs::kWholeDisk},
    {"install-wiping", InstallWiping, Needs::kWholeDisk},
    {"reset", Reset, Needs::kUnmounted},
    {"reset-keeping", ResetKeeping, Needs::kUnmounted},
    {"grow", Grow, Needs::kUnmounted},
    {"boot-order", FlipBootOrder, Needs::kUnmounted},
    {"wrong-bless", WrongBless},
    {"wrong-loader", WrongLoader},
    {"wrong-grow", WrongGrow, Needs::kUnmounted},
};

}  // namespace

absl::StatusOr<Scenario> FindScenario(const std::string& name) {
  for (const Scenario& scenario : kScenarios) {
    if (name == scenario.name) return scenario;
  }
  return absl::NotFoundError("there is no such scenario");
}

}  // namespace stele::lab
