#include "machined/upgrade/activation.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"

namespace stele::machined {
namespace {

using image::v1::PartKind;
using resource::v1::UpgradeState;

void SetState(UpgradeRecord& record, UpgradeState state, const std::string& asked_by) {
  record.set_state(state);
  SetTime(absl::Now(), *record.mutable_since());
  if (!asked_by.empty()) record.set_asked_by(asked_by);
}

bool Has(const std::vector<BootEntry>& entries, const BootEntry& entry) {
  return std::find(entries.begin(), entries.end(), entry) != entries.end();
}

// A new loader gets its name, and the image's loader the firmware's entries. Nothing depends on it: without, the one
// before is used. The entries of one that was there already are looked at, too: a node that came onto its disk as a
// disk image has none yet, firmware may have forgotten them, and without all four an image that cannot be loaded waits
// for a hand.
void PublishLoader(const UpgradePlace& place, const image_file::Header& header, const AddBootEntries& add_entries,
                   std::vector<std::string>* warnings) {
  int part = header.Find(PartKind::PART_KIND_LOADER);
  if (part < 0) return;
  auto publish = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(Loader loaders, Loader::Open(place.esp.target()));
    const image::v1::Part& loader = header.part(part);
    ASSIGN_OR_RETURN(std::string there, loaders.Find(loader.sha256(), loader.size()));
    if (!there.empty()) return Annotate(add_entries(there), "make boot entries");
    RETURN_IF_ERROR(loaders.VerifyWritten(loader.sha256(), loader.size()));
    return loaders.Publish(loader.sha256(), add_entries);
  };
  if (absl::Status status = publish(); !status.ok()) {
    warnings->push_back(absl::StrCat("the firmware starts what it did before: ", status.message()));
  }
}

}  // namespace

bool IsStaged(UpgradeState state) {
  return state == resource::v1::UPGRADE_STATE_STAGED || state == resource::v1::UPGRADE_STATE_PLANNED ||
         state == resource::v1::UPGRADE_STATE_DRAINING || state == resource::v1::UPGRADE_STATE_ACTIVATED;
}

absl::Status ActivateStaged(const UpgradePlace& place, const UpgradeStore& store, const AddBootEntries& add_entries,
                            const ActivateOptions& options, const KeepGoing& keep_going,
                            std::vector<std::string>* warnings) {
  UpgradeRecord record = store.Load(warnings);
  if (!IsStaged(record.state())) return absl::FailedPreconditionError("nothing is staged");
  std::optional<image_file::Header> header = store.Manifest(record.slot(), warnings);
  if (!header.has_value() || header->manifest.verity().root_hash() != record.root_hash() ||
      record.slot() != place.other_slot) {
    return absl::FailedPreconditionError("what is staged is not known any more: stage the image again");
  }
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  const BootEntry activated = {.number = record.number(), .kind = BootEntry::Kind::kCounted, .left = kTrialTries};
  if (!Has(entries, activated)) {
    RETURN_IF_ERROR(VerifyStaged(place, *header, record.number(), keep_going));
  }
  // Before the rename: whatever boots next finds who asked for what. Taken back where the rename was not made: nobody
  // may believe that the next boot tries it.
  const UpgradeRecord before = record;
  record.set_manual(options.manual);
  record.set_confirmed(false);
  record.set_no_reboot(options.no_reboot);
  record.clear_at();
  record.clear_message();
  SetState(record, resource::v1::UPGRADE_STATE_ACTIVATED, options.asked_by);
  RETURN_IF_ERROR(store.Save(record));
  auto rename = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(EspWindow window, place.esp.OpenWindow());
    PublishLoader(place, *header, add_entries, warnings);
    RETURN_IF_ERROR(esp.Activate(record.number()));
    return window.Close();
  };
  absl::Status renamed = rename();
  if (renamed.ok()) return renamed;
  absl::StatusOr<std::vector<BootEntry>> after = esp.List();
  if (after.ok() && Has(*after, activated)) return renamed;  // what failed came after it
  if (absl::Status saved = store.Save(before); !saved.ok()) warnings->push_back(std::string(saved.message()));
  return renamed;
}

absl::StatusOr<BootEntry> FindRunning(const UpgradePlace& place, const Esp& esp) {
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  std::vector<BootEntry> ordered = InLoaderOrder(entries);
  uint64_t told = NumberInLoaderPath(place.entry);
  const BootEntry* found = nullptr;
  for (const BootEntry& entry : ordered) {
    // Never one that cannot be read, whatever the loader named: it would be blessed, and boot no more.
    absl::StatusOr<std::string> root_hash = esp.RootHashIn(entry);
    if (!root_hash.ok() || *root_hash != place.running_root_hash) continue;
    if (told != 0 && entry.number == told) return entry;
    if (found == nullptr) found = &entry;
  }
  if (found != nullptr) return *found;
  return absl::NotFoundError("the ESP does not hold the UKI that runs");
}

absl::Status BlessRunning(const UpgradePlace& place, const UpgradeStore& store, std::vector<std::string>* warnings,
                          const EndLoaderTrialCall& end_loader_trial) {
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(BootEntry running, FindRunning(place, esp));
  if (running.kind != BootEntry::Kind::kGood) {
    ASSIGN_OR_RETURN(EspWindow window, place.esp.OpenWindow());
    RETURN_IF_ERROR(esp.Bless(running.number));
    RETURN_IF_ERROR(window.Close());
  }
  // Behind the rename: a cut between leaves the loader before where it was, behind this one's entries.
  if (absl::Status ended = end_loader_trial ? end_loader_trial(LoaderVerdict::kGood) : absl::OkStatus(); !ended.ok())
    warnings->push_back(absl::StrCat("boot loader: ", ended.message()));
  UpgradeRecord record = store.Load(warnings);
  if (absl::BytesToHexString(record.root_hash()) != place.running_root_hash) return absl::OkStatus();
  SetState(record, resource::v1::UPGRADE_STATE_GOOD, "");
  record.clear_message();
  absl::Status saved = store.Save(record);
  if (saved.ok()) saved = store.ForgetFailure(record.root_hash());
  if (!saved.ok()) warnings->push_back(std::string(saved.message()));
  return absl::OkStatus();
}

absl::Status FailRunning(const UpgradePlace& place, const UpgradeStore& store, const std::string& reason,
                         const EndLoaderTrialCall& end_loader_trial) {
  std::vector<std::string> passed_over;
  UpgradeRecord record = store.Load(&passed_over);
  std::string root_hash = absl::HexStringToBytes(place.running_root_hash);
  FailedImage failure;
  failure.set_root_hash(root_hash);
  failure.set_version(place.running_version);
  failure.set_reason(reason);
  SetTime(absl::Now(), *failure.mutable_time());
  // The reason first: after the rename nobody is left who knows it. A state partition that does not take it must
  // not keep a bad image, so what it said is told once the image is out.
  absl::Status noted = store.AddFailure(failure);
  if (record.root_hash() == root_hash) {
    record.set_message(reason);
    if (absl::Status saved = store.Save(record); noted.ok()) noted = saved;
  }
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(BootEntry running, FindRunning(place, esp));
  ASSIGN_OR_RETURN(EspWindow window, place.esp.OpenWindow());
  RETURN_IF_ERROR(esp.MarkFailed(running.number));
  RETURN_IF_ERROR(window.Close());
  // Either loader starts the image before: that it cannot be put first again keeps nobody from going back.
  if (end_loader_trial) end_loader_trial(LoaderVerdict::kFailed).IgnoreError();
  return Annotate(noted, "note why it failed");
}

absl::StatusOr<std::string> ActivateOther(const UpgradePlace& place, const UpgradeStore& store,
                                          const ActivateOptions& options, bool validate_only,
                                          const KeepGoing& keep_going) {
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  std::vector<std::string> passed_over;
  std::optional<image_file::Header> header = store.Manifest(place.other_slot, &passed_over);
  if (!header.has_value())
    return absl::FailedPreconditionError(absl::StrCat("slot ", place.other_slot, " holds no image to go back to"));
  std::string root_hash = absl::BytesToHexString(header->manifest.verity().root_hash());
  std::optional<BootEntry> other;
  for (const BootEntry& entry : InLoaderOrder(entries)) {
    absl::StatusOr<std::string> found = esp.RootHashIn(entry);
    if (!other.has_value() && found.ok() && *found == root_hash && *found != place.running_root_hash) other = entry;
  }
  if (!other.has_value() || other->failed()) {
    return absl::FailedPreconditionError(
        absl::StrCat("slot ", place.other_slot, " holds no image that could be gone back to"));
  }
  std::string version = header->manifest.version();
  if (validate_only) return version;
  // It was good once, and may have lain there for months: read before it is trusted again.
  const image::v1::Part& uki = header->part(header->Find(PartKind::PART_KIND_UKI));
  RETURN_IF_ERROR(esp.Verify(*other, {uki.size(), uki.sha256(), root_hash}));
  RETURN_IF_ERROR(VerifyRoot(place, *header, keep_going));
  // Asked again after a cut, it has its number already.
  bool done = other->kind == BootEntry::Kind::kCounted && other->left == kTrialTries &&
              other->number + 1 == NextNumber(entries);
  uint64_t number = done ? other->number : NextNumber(entries);
  UpgradeRecord record;
  record.set_version(version);
  record.set_from_version(place.running_version);
  record.set_slot(place.other_slot);
  record.set_number(number);
  record.set_root_hash(header->manifest.verity().root_hash());
  record.set_manual(options.manual);
  SetState(record, resource::v1::UPGRADE_STATE_ACTIVATED, options.asked_by);
  RETURN_IF_ERROR(store.Save(record));
  ASSIGN_OR_RETURN(EspWindow window, place.esp.OpenWindow());
  RETURN_IF_ERROR(esp.Retry(*other, number));
  RETURN_IF_ERROR(window.Close());
  return version;
}

absl::StatusOr<std::string> DropStaged(const UpgradePlace& place, const UpgradeStore& store,
                                       const std::string& asked_by) {
  std::vector<std::string> passed_over;
  UpgradeRecord record = store.Load(&passed_over);
  if (!IsStaged(record.state()) && record.state() != resource::v1::UPGRADE_STATE_STAGING) {
    return absl::FailedPreconditionError("nothing is staged or planned");
  }
  if (absl::BytesToHexString(record.root_hash()) == place.running_root_hash) {
    return absl::FailedPreconditionError("the image runs already: go back from it instead");
  }
  if (record.state() == resource::v1::UPGRADE_STATE_PLANNED || record.state() == resource::v1::UPGRADE_STATE_DRAINING) {
    record.clear_at();
    SetState(record, resource::v1::UPGRADE_STATE_STAGED, asked_by);
    RETURN_IF_ERROR(store.Save(record));
    return record.version();
  }
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  ASSIGN_OR_RETURN(EspWindow window, place.esp.OpenWindow());
  for (const BootEntry& entry : entries) {
    if (entry.number == record.number()) RETURN_IF_ERROR(esp.RemoveOrSetAside(entry));
  }
  RETURN_IF_ERROR(window.Close());
  RETURN_IF_ERROR(store.RemoveManifest(record.slot()));
  // Last: a call that was cut before finds something to drop.
  SetState(record, resource::v1::UPGRADE_STATE_CANCELLED, asked_by);
  RETURN_IF_ERROR(store.Save(record));
  return record.version();
}

}  // namespace stele::machined
