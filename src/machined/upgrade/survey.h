// What is on the disk about images, and what follows from it: the slots, and what became of the last upgrade.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/last_words.h"
#include "machined/upgrade/boot_entry.h"
#include "machined/upgrade/place.h"
#include "machined/upgrade/upgrade_store.h"
#include "stele/resource/v1/upgrade.pb.h"

namespace stele::machined {

struct Survey {
  struct Entry {
    BootEntry entry;
    std::string root_hash;  // that its UKI names, hex; empty for one that is not whole
  };
  struct Image {
    std::string version;
    std::string build_id;
    std::string root_hash;  // hex
  };
  std::vector<Entry> entries;
  std::optional<BootEntry> running;     // nothing: the ESP does not hold it
  std::map<std::string, Image> images;  // by slot, as the manifests say
  UpgradeRecord record;
  std::vector<FailedImage> failures;
  std::vector<std::string> passed_over;  // files that were damaged
  std::optional<LastWords> last_words;   // of an init that gave its image up
};

// Reads it all. Blocks.
absl::StatusOr<Survey> TakeSurvey(const UpgradePlace& place, const UpgradeStore& store);

// The rest is pure. The two slots, by id.
std::map<std::string, resource::v1::Slot> SlotsOf(const UpgradePlace& place, const Survey& survey);

// Whether the loader counted this boot, by the name that it gave the UKI. It tells by a variable, too; firmware whose
// variables cannot be read would leave a trial that nobody judges.
bool RunsOnTrial(const Survey& survey);

// What became of the record across a boot.
struct Settled {
  UpgradeRecord record;
  bool changed = false;
  std::optional<FailedImage> failure;  // to be remembered
  std::string event;                   // to be told; empty: nothing happened
};
Settled SettleRecord(const UpgradePlace& place, const Survey& survey, absl::Time now);

// The resource "current".
resource::v1::Upgrade UpgradeOf(const UpgradeRecord& record);

}  // namespace stele::machined
