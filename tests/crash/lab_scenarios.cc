// What is recorded. Each scenario calls the product's own code, the code that a node runs, between two marks that say
// from where on its result is allowed and from where on it is promised (scenarios.py holds states against them).

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "image_file/sha256.h"
#include "lab_machine.h"
#include "machined/config_store.h"
#include "machined/upgrade/esp.h"
#include "machined/upgrade/esp_folder.h"
#include "machined/upgrade/esp_mount.h"

namespace stele::lab {
namespace {

using machined::BootEntry;
using machined::Esp;
using machined::EspFile;
using machined::EspMount;
using machined::EspWindow;

constexpr size_t kChunk = 256 * 1024;

// Runs `change` while the ESP can be written, as machined does, between the marks `name` and `name`-done.
template <typename Change>
absl::Status InWindow(Machine& machine, absl::string_view name, Change change) {
  EspMount mount(machine.esp_device(), kEsp);
  RETURN_IF_ERROR(mount.MountReadOnly());
  ASSIGN_OR_RETURN(EspWindow window, mount.OpenWindow());
  {
    ASSIGN_OR_RETURN(Esp esp, Esp::Open(kEsp));
    RETURN_IF_ERROR(machine.Mark(name));
    RETURN_IF_ERROR(change(esp));
    RETURN_IF_ERROR(machine.Mark(absl::StrCat(name, "-done")));
  }
  return window.Close();
}

absl::Status Stage(Machine& machine, Esp& esp) {
  ASSIGN_OR_RETURN(std::string uki, Payload("image.efi"));
  ASSIGN_OR_RETURN(std::string root, Payload("image.root"));
  ASSIGN_OR_RETURN(std::string root_hash, Payload("image.root_hash"));
  RETURN_IF_ERROR(esp.Remove({.number = 1}));
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(kState, "/upgrade"), 0700));
  RETURN_IF_ERROR(ReplaceFile(absl::StrCat(kState, "/upgrade/staged"), "number=3\nroot=" + root_hash + "\n", 0600));
  RETURN_IF_ERROR(machine.WriteOtherSlot(root));
  ASSIGN_OR_RETURN(EspFile file, esp.BeginWrite(3, uki.size()));
  for (size_t at = 0; at < uki.size(); at += kChunk) {
    RETURN_IF_ERROR(file.Write(at, absl::string_view(uki).substr(at, kChunk)));
  }
  RETURN_IF_ERROR(file.Flush());
  return esp.VerifyWritten(3, {.size = uki.size(), .sha256 = image_file::Sha256Of(uki), .root_hash = root_hash});
}

absl::Status Upgrade(Machine& machine) {
  RETURN_IF_ERROR(InWindow(machine, "stage", [&](Esp& esp) { return Stage(machine, esp); }));
  return InWindow(machine, "activate", [](Esp& esp) { return esp.Activate(3); });
}

absl::Status Bless(Machine& machine) {
  return InWindow(machine, "bless", [](Esp& esp) { return esp.Bless(3); });
}

absl::Status RollbackOnTrial(Machine& machine) {
  return InWindow(machine, "failed", [](Esp& esp) { return esp.MarkFailed(3); });
}

absl::Status RollbackGood(Machine& machine) {
  return InWindow(machine, "retry", [](Esp& esp) { return esp.Retry({.number = 2}, 4); });
}

// A new version of systemd-boot beside the old one; the boot entries are flipped after the mark `loader-done`.
absl::Status Loader(Machine& machine) {
  ASSIGN_OR_RETURN(std::string loader, Payload("loader.efi"));
  return InWindow(machine, "loader", [&](Esp&) -> absl::Status {
    ASSIGN_OR_RETURN(machined::EspFolder folder, machined::EspFolder::Open(kEsp, "EFI/systemd"));
    ASSIGN_OR_RETURN(EspFile file, folder.BeginWrite("boot-0a1b2c3d.new", loader.size()));
    RETURN_IF_ERROR(file.Write(0, loader));
    RETURN_IF_ERROR(file.Flush());
    RETURN_IF_ERROR(folder.ReadBack("boot-0a1b2c3d.new", loader.size(), image_file::Sha256Of(loader)));
    return folder.Rename("boot-0a1b2c3d.new", "boot-0a1b2c3d.efi");
  });
}

// Twelve configurations: the store keeps ten, so that old ones go too.
absl::Status Config(Machine& machine) {
  machined::ConfigStore store(absl::StrCat(kState, "/config"));
  for (int number = 1; number <= 12; ++number) {
    std::string yaml = absl::StrCat("machine:\n  hostname: node-", number, "\n", std::string(200 * number, '#'), "\n");
    RETURN_IF_ERROR(machine.Mark(absl::StrCat("save-", number)));
    RETURN_IF_ERROR(store.Save(yaml, "api", absl::UnixEpoch()).status());
    RETURN_IF_ERROR(machine.Mark(absl::StrCat("saved-", number)));
  }
  return absl::OkStatus();
}

absl::Status StagedConfig(Machine& machine) {
  machined::ConfigStore store(absl::StrCat(kState, "/config"));
  RETURN_IF_ERROR(store.Save("machine:\n  hostname: node-1\n", "api", absl::UnixEpoch()).status());
  RETURN_IF_ERROR(machine.Mark("saved-1"));
  RETURN_IF_ERROR(store.Stage("machine:\n  hostname: node-2\n", "boot-1", absl::UnixEpoch()));
  RETURN_IF_ERROR(machine.Mark("save-2"));
  RETURN_IF_ERROR(store.PromoteStaged("boot-2", absl::UnixEpoch()).status());
  return machine.Mark("saved-2");
}

// Small files that are replaced: what is staged, what failed, the boots, the marker of a reset.
absl::Status Records(Machine& machine) {
  RETURN_IF_ERROR(MakeDirectories(absl::StrCat(kState, "/upgrade"), 0700));
  for (int number = 1; number <= 8; ++number) {
    RETURN_IF_ERROR(machine.Mark(absl::StrCat("save-", number)));
    RETURN_IF_ERROR(ReplaceFile(absl::StrCat(kState, "/upgrade/record"),
                                absl::StrCat("record ", number, "\n", std::string(600 * number, 'x'), "\n"), 0600));
    RETURN_IF_ERROR(machine.Mark(absl::StrCat("saved-", number)));
  }
  return absl::OkStatus();
}

absl::Status WrongBless(Machine& machine) { return WrongRename(machine, "stele-3+2-1.efi", "stele-3.efi"); }

constexpr Scenario kScenarios[] = {
    {"upgrade", Upgrade},
    {"bless", Bless},
    {"rollback-trial", RollbackOnTrial},
    {"rollback-good", RollbackGood},
    {"loader", Loader},
    {"config", Config},
    {"staged-config", StagedConfig},
    {"records", Records},
    {"wrong-bless", WrongBless},
    {"wrong-loader", WrongLoader},
};

}  // namespace

absl::Status RunScenario(Machine& machine, const std::string& name) {
  for (const Scenario& scenario : kScenarios) {
    if (name == scenario.name) return scenario.run(machine);
  }
  return absl::NotFoundError("there is no such scenario");
}

}  // namespace stele::lab
