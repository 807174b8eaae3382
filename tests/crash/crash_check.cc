// Reads what a power cut left with the classes that machined reads it with, and says on its standard output what they
// found, a line each. One question a run:
//
//   crash_check state FOLDER        STELE-STATE, mounted there: configurations, boots, upgrades; and what is damaged
//   crash_check plan DISK [wipe]    whether it is installed, and whether a medium could install onto it
//   crash_check wish DISK           whether it asks for a reset
//   crash_check reset DISK FOLDER   carries that reset out as the next boot does; FOLDER is for its mounts
//
// Exit status 0 unless the question could not be asked at all.

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "machined/boots/boot_history.h"
#include "machined/config_store.h"
#include "machined/install/installer.h"
#include "machined/install/reset.h"
#include "machined/storage_probe.h"
#include "machined/upgrade/upgrade_store.h"

namespace stele {
namespace {

void Say(const std::string& line) { std::printf("%s\n", line.c_str()); }

std::string Outcome(const absl::Status& status) {
  return status.ok() ? "ok" : absl::StrCat("failed: ", std::string(status.message()));
}

void State(const std::string& folder) {
  std::vector<std::string> damaged;
  // What is staged becomes a generation, as at the next boot; the folder is a copy that is thrown away.
  absl::StatusOr<bool> promoted = machined::ConfigStore(folder + "/config").PromoteStaged("the next boot", absl::Now());
  Say(absl::StrCat("staged ", promoted.ok() ? (*promoted ? "yes" : "no") : std::string(promoted.status().message())));
  for (const machined::Generation& generation : machined::ConfigStore(folder + "/config").List(&damaged)) {
    if (generation.fate != machined::Generation::Fate::kApplied) continue;  // over with the boot
    Say(absl::StrCat("config ", generation.number, " ", machined::Sha256Hex(generation.yaml)));
  }
  absl::StatusOr<machined::BootHistory> history = machined::BootHistory::Load(folder + "/boots");
  if (!history.ok()) damaged.emplace_back(history.status().message());
  if (history.ok() && !history->boots().empty()) {
    const auto& [number, boot] = *history->boots().rbegin();
    Say(absl::StrCat("boots ", history->boots().size(), " ", number, " ", machined::EndText(boot.end())));
  }
  machined::UpgradeStore store(folder + "/upgrade");
  machined::UpgradeRecord record = store.Load(&damaged);
  Say(absl::StrCat("record ", record.number(), " ", record.version()));
  std::vector<machined::FailedImage> failures = store.Failures(&damaged);
  Say(absl::StrCat("failures ", failures.size(), " ", failures.empty() ? "" : failures.back().version()));
  for (const char* slot : {"a", "b"}) {
    if (auto header = store.Manifest(slot, &damaged))
      Say(absl::StrCat("manifest ", slot, " ", header->manifest.version()));
  }
  for (const std::string& line : damaged) Say("damaged " + line);
}

void Plan(const std::string& disk, bool wipe) {
  absl::StatusOr<machined::DiskContents> contents = machined::ProbeDisk(disk);
  Say(contents.ok() && machined::IsInstalled(*contents) ? "installed" : "not installed");
  machined::InstallSource source = {.version = "0.1.0"};
  machined::InstallOptions options = {.disk = disk, .wipe = wipe, .work = "/nonexistent"};
  Say(Outcome(machined::Installer(options, source, [](const machined::InstallProgress&) {}).Plan().status()));
}

void Wish(const std::string& disk) {
  absl::StatusOr<std::optional<machined::ResetWish>> wish = machined::ReadResetWish(disk);
  Say(!wish.ok() ? Outcome(wish.status()) : wish->has_value() ? "wish" : "none");
}

void Reset(const std::string& disk, const std::string& folder) {
  absl::StatusOr<std::optional<machined::ResetWish>> wish = machined::ReadResetWish(disk);
  if (!wish.ok() || !wish->has_value()) return Say("none");
  Say(Outcome(machined::CarryOutReset(disk, **wish, {.root = folder}, [](const std::string&) {})));
}

}  // namespace
}  // namespace stele

int main(int count, char** words) {
  std::vector<std::string> given(words + 1, words + count);
  std::string question = given.empty() ? "" : given[0];
  if (question == "state" && given.size() == 2)
    stele::State(given[1]);
  else if (question == "plan" && given.size() >= 2)
    stele::Plan(given[1], given.size() == 3);
  else if (question == "wish" && given.size() == 2)
    stele::Wish(given[1]);
  else if (question == "reset" && given.size() == 3)
    stele::Reset(given[1], given[2]);
  else
    return std::fprintf(stderr, "crash_check: see its source\n"), 2;
  return 0;
}
