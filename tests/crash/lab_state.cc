// What a node keeps on STELE-STATE, saved again and again by the classes that save it. Before and after each save a
// mark says how many were begun and how many are promised; crash_check reads back with the same classes.

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "lab_machine.h"
#include "machined/boots/boot_history.h"
#include "machined/config_store.h"
#include "machined/upgrade/upgrade_store.h"

namespace stele::lab {
namespace {

// `save` between its two marks.
template <typename Save>
absl::Status Marked(Machine& machine, int number, Save save) {
  RETURN_IF_ERROR(machine.Mark(absl::StrCat("save-", number)));
  RETURN_IF_ERROR(save());
  return machine.Mark(absl::StrCat("saved-", number));
}

}  // namespace

// Twelve configurations: the store keeps ten, so that old ones go too.
absl::Status Config(Machine& machine) {
  machined::ConfigStore store(absl::StrCat(kState, "/config"));
  for (int number = 1; number <= 12; ++number) {
    std::string yaml = absl::StrCat("machine:\n  hostname: node-", number, "\n", std::string(200 * number, '#'), "\n");
    RETURN_IF_ERROR(Marked(machine, number, [&] { return store.Save(yaml, "api", absl::UnixEpoch()).status(); }));
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

// Trials: a save that counts is an applied one, a confirmed one, an applied one; trials that end otherwise change
// nothing.
absl::Status TriedConfig(Machine& machine) {
  machined::ConfigStore store(absl::StrCat(kState, "/config"));
  auto text = [](int number) { return absl::StrCat("machine:\n  hostname: node-", number, "\n"); };
  auto tried = [&](int number) {
    return store.Try({.source = "api", .yaml = text(number), .boot = "boot-1", .until = absl::Hours(1)});
  };
  RETURN_IF_ERROR(Marked(machine, 1, [&] { return store.Save(text(1), "api", absl::UnixEpoch()).status(); }));
  ASSIGN_OR_RETURN(machined::Generation confirmed, tried(2));
  RETURN_IF_ERROR(Marked(machine, 2, [&] { return store.Confirm(confirmed.number).status(); }));
  ASSIGN_OR_RETURN(machined::Generation reverted, tried(9));
  RETURN_IF_ERROR(store.Revert(reverted.number, "was reverted"));
  RETURN_IF_ERROR(tried(9).status());
  return Marked(machine, 3, [&] { return store.Save(text(3), "api", absl::UnixEpoch()).status(); });
}

// Twenty-three boots, more than are kept; each is begun and ended. The (2n-1)th save begins the nth boot, the (2n)th
// ends it.
absl::Status Boots(Machine& machine) {
  std::string file = absl::StrCat(kState, "/boots");
  for (int number = 1; number <= 23; ++number) {
    ASSIGN_OR_RETURN(machined::BootHistory history, machined::BootHistory::Load(file));
    resource::v1::Boot boot;
    boot.set_boot_id(absl::StrCat("boot-", number));
    boot.set_version("0.1.0");
    boot.mutable_started()->set_seconds(number);
    history.Begin(boot, {.kernel_log = std::string(number % 4 == 0 ? 3000 : 0, 'k')});
    RETURN_IF_ERROR(Marked(machine, 2 * number - 1, [&] { return history.Save(file); }));
    history.End(resource::v1::BOOT_END_REBOOT, absl::StrCat("asked ", number), number);
    RETURN_IF_ERROR(Marked(machine, 2 * number, [&] { return history.Save(file); }));
  }
  return absl::OkStatus();
}

// Images that failed: the last sixteen are kept. The record of the upgrade under way is saved with each.
absl::Status Failures(Machine& machine) {
  machined::UpgradeStore store(absl::StrCat(kState, "/upgrade"));
  for (int number = 1; number <= 18; ++number) {
    machined::FailedImage failure;
    failure.set_root_hash(std::string(32, static_cast<char>(number)));
    failure.set_version(absl::StrCat("0.", number, ".0"));
    failure.set_reason(std::string(100 * number, 'r'));
    machined::UpgradeRecord record;
    record.set_number(number);
    record.set_version(failure.version());
    RETURN_IF_ERROR(Marked(machine, 2 * number - 1, [&] { return store.AddFailure(failure); }));
    RETURN_IF_ERROR(Marked(machine, 2 * number, [&] { return store.Save(record); }));
  }
  return absl::OkStatus();
}

}  // namespace stele::lab
