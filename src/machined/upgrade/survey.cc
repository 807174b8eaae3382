#include "machined/upgrade/survey.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/esp.h"
#include "machined/upgrade/excerpt.h"

namespace stele::machined {
namespace {

using resource::v1::SlotState;
using resource::v1::UpgradeState;

constexpr char kNoWord[] =
    "its tries ended without a word: it could not be loaded, the kernel panicked, or init never got as far as machined";
constexpr char kWatchdog[] =
    "its tries ended without a word, the last one by the hardware watchdog: the kernel or init hung before machined "
    "ran";

// Why a trial ended that machined never said a word about: init may have left one, or the watchdog a trace.
std::string WhyWithoutMachined(const UpgradePlace& place, const Survey& survey) {
  const std::optional<LastWords>& words = survey.last_words;
  bool its = words.has_value() && words->root_hash == absl::BytesToHexString(survey.record.root_hash()) &&
             NumberInLoaderPath(words->entry) == survey.record.number();
  if (!its) return place.watchdog_reset ? kWatchdog : kNoWord;
  // Its first line is init's own; what follows is of a log.
  std::vector<std::string> parts = absl::StrSplit(words->text, absl::MaxSplits('\n', 1));
  std::string log = parts.size() > 1 ? Excerpt(parts[1]) : "";
  return log.empty() ? parts[0] : absl::StrCat(parts[0], "\n", log);
}

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

const Survey::Entry* FindNumber(const Survey& survey, uint64_t number) {
  for (const Survey::Entry& entry : survey.entries) {
    if (entry.entry.number == number) return &entry;
  }
  return nullptr;
}

// The entry of the slot that does not run: by the image that is known to be in it, else any that is not the running
// one.
const Survey::Entry* OtherEntry(const UpgradePlace& place, const Survey& survey) {
  auto image = survey.images.find(place.other_slot);
  const Survey::Entry* found = nullptr;
  for (const Survey::Entry& entry : survey.entries) {
    bool known = image != survey.images.end() && entry.root_hash == image->second.root_hash;
    // Not whole: being written, or damaged since.
    bool being_written =
        (!entry.entry.bootable() || entry.root_hash.empty()) && entry.entry.number == survey.record.number();
    bool unknown = image == survey.images.end() && entry.entry.bootable() && !entry.root_hash.empty() &&
                   entry.root_hash != place.running_root_hash;
    if (survey.running.has_value() && entry.entry == *survey.running) continue;
    if ((known || being_written || unknown) && (found == nullptr || LoaderPrefers(entry.entry, found->entry)))
      found = &entry;
  }
  return found;
}

SlotState StateOf(const UpgradePlace& place, const Survey& survey, const Survey::Entry* entry) {
  bool ours = survey.record.slot() == place.other_slot;
  UpgradeState state = survey.record.state();
  if (entry == nullptr || !entry->entry.bootable()) {
    if (ours && state == resource::v1::UPGRADE_STATE_STAGING) return resource::v1::SLOT_STATE_STAGING;
    bool staged = state == resource::v1::UPGRADE_STATE_STAGED || state == resource::v1::UPGRADE_STATE_PLANNED ||
                  state == resource::v1::UPGRADE_STATE_DRAINING;
    return entry != nullptr && ours && staged ? resource::v1::SLOT_STATE_STAGED : resource::v1::SLOT_STATE_EMPTY;
  }
  if (entry->entry.kind == BootEntry::Kind::kGood) return resource::v1::SLOT_STATE_GOOD;
  return entry->entry.failed() ? resource::v1::SLOT_STATE_FAILED : resource::v1::SLOT_STATE_TRIAL;
}

void FillEntry(const Survey& survey, const BootEntry& entry, resource::v1::Slot& slot) {
  slot.set_file(FileName(entry));
  slot.set_tries_left(entry.left);
  std::vector<BootEntry> entries;
  for (const Survey::Entry& other : survey.entries) entries.push_back(other.entry);
  std::optional<BootEntry> next = NextBoot(entries);
  slot.set_next(next.has_value() && *next == entry);
}

void FillImage(const Survey& survey, const std::string& id, resource::v1::Slot& slot) {
  auto image = survey.images.find(id);
  if (image == survey.images.end()) return;
  slot.set_version(image->second.version);
  slot.set_build_id(image->second.build_id);
  slot.set_root_hash(image->second.root_hash);
}

}  // namespace

absl::StatusOr<Survey> TakeSurvey(const UpgradePlace& place, const UpgradeStore& store) {
  RETURN_IF_ERROR(place.esp.MountReadOnly());
  ASSIGN_OR_RETURN(Esp esp, Esp::Open(place.esp.target()));
  ASSIGN_OR_RETURN(std::vector<BootEntry> entries, esp.List());
  Survey survey;
  for (const BootEntry& entry : entries) survey.entries.push_back({entry, esp.RootHashIn(entry).value_or("")});
  absl::StatusOr<BootEntry> running = FindRunning(place, esp);
  if (running.ok()) survey.running = *running;
  if (!running.ok() && !absl::IsNotFound(running.status())) return running.status();
  for (const char* slot : {"a", "b"}) {
    std::optional<image_file::Header> header = store.Manifest(slot, &survey.passed_over);
    if (!header.has_value()) continue;
    survey.images[slot] = {header->manifest.version(), header->manifest.build_id(),
                           Hex(header->manifest.verity().root_hash())};
  }
  survey.record = store.Load(&survey.passed_over);
  survey.failures = store.Failures(&survey.passed_over);
  absl::StatusOr<std::string> disk = WholeDiskOf(place.running_device);
  absl::StatusOr<LastWords> words = disk.ok() ? ReadLastWords(*disk) : disk.status();
  if (words.ok()) survey.last_words = *std::move(words);
  return survey;
}

std::map<std::string, resource::v1::Slot> SlotsOf(const UpgradePlace& place, const Survey& survey) {
  resource::v1::Slot running;
  FillImage(survey, place.running_slot, running);
  // What runs knows itself better than any file.
  if (running.root_hash() != place.running_root_hash) running.clear_build_id();
  running.set_version(place.running_version);
  running.set_root_hash(place.running_root_hash);
  running.set_running(true);
  running.set_device(place.running_device);
  bool good = survey.running.has_value() && survey.running->kind == BootEntry::Kind::kGood;
  running.set_state(good || !place.trial ? resource::v1::SLOT_STATE_GOOD : resource::v1::SLOT_STATE_TRIAL);
  if (survey.running.has_value()) FillEntry(survey, *survey.running, running);
  if (!survey.running.has_value()) running.set_message("the ESP does not hold its UKI: the next boot takes another");

  resource::v1::Slot other;
  const Survey::Entry* entry = OtherEntry(place, survey);
  other.set_state(StateOf(place, survey, entry));
  if (other.state() != resource::v1::SLOT_STATE_EMPTY) FillImage(survey, place.other_slot, other);
  if (entry != nullptr) FillEntry(survey, entry->entry, other);
  other.set_device(place.other_device);
  for (const FailedImage& failure : survey.failures) {
    if (!other.root_hash().empty() && Hex(failure.root_hash()) == other.root_hash())
      other.set_message(failure.reason());
  }
  return {{place.running_slot, running}, {place.other_slot, other}};
}

bool RunsOnTrial(const Survey& survey) {
  if (!survey.running.has_value() || survey.running->kind != BootEntry::Kind::kCounted || survey.running->done == 0)
    return false;
  const Survey::Entry* good = nullptr;  // of a blessing that was cut (EndCutBlessing)
  for (const Survey::Entry& entry : survey.entries) {
    if (entry.entry == BootEntry{.number = survey.running->number}) good = &entry;
  }
  return good == nullptr;
}

Settled SettleRecord(const UpgradePlace& place, const Survey& survey, absl::Time now) {
  Settled settled;
  settled.record = survey.record;
  UpgradeRecord& record = settled.record;
  if (record.state() != resource::v1::UPGRADE_STATE_ACTIVATED && record.state() != resource::v1::UPGRADE_STATE_TRIAL)
    return settled;
  UpgradeState state = record.state();
  bool runs = Hex(record.root_hash()) == place.running_root_hash;
  const Survey::Entry* entry = FindNumber(survey, record.number());
  if (runs) {
    bool good = survey.running.has_value() && survey.running->kind == BootEntry::Kind::kGood;
    state = good ? resource::v1::UPGRADE_STATE_GOOD : resource::v1::UPGRADE_STATE_TRIAL;
    if (good) record.clear_message();
  } else if (entry == nullptr) {
    state = resource::v1::UPGRADE_STATE_CANCELLED;
    record.set_message("the ESP holds no UKI of it: the change was cut before one was written, or somebody removed it");
  } else if (!entry->entry.bootable()) {
    // Cut before the rename: the node was told to, and goes on.
    state = resource::v1::UPGRADE_STATE_PLANNED;
    SetTime(now, *record.mutable_at());
    settled.event = absl::StrCat("the activation of ", record.version(), " was cut short: it is done again");
  } else if (entry->entry.failed()) {
    state = resource::v1::UPGRADE_STATE_FAILED;
    if (record.message().empty()) record.set_message(WhyWithoutMachined(place, survey));
    settled.event = absl::StrCat("upgrade to ", record.version(), " failed, ", place.running_version,
                                 " runs again: ", record.message());
    settled.failure.emplace();
    settled.failure->set_root_hash(record.root_hash());
    settled.failure->set_version(record.version());
    settled.failure->set_reason(record.message());
    SetTime(now, *settled.failure->mutable_time());
  }
  settled.changed = state != survey.record.state();
  record.set_state(state);
  if (settled.changed) SetTime(now, *record.mutable_since());
  return settled;
}

resource::v1::Upgrade UpgradeOf(const UpgradeRecord& record) {
  resource::v1::Upgrade upgrade;
  upgrade.set_state(record.state());
  upgrade.set_version(record.version());
  upgrade.set_from_version(record.from_version());
  upgrade.set_message(record.message());
  upgrade.set_asked_by(record.asked_by());
  upgrade.set_manual(record.manual());
  if (record.has_since()) *upgrade.mutable_since() = record.since();
  bool timed =
      record.state() == resource::v1::UPGRADE_STATE_PLANNED || record.state() == resource::v1::UPGRADE_STATE_DRAINING;
  if (timed) *upgrade.mutable_deadline() = record.at();
  return upgrade;
}

}  // namespace stele::machined
