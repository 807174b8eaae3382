// What happens to an image once it is staged: it is activated, blessed or marked as failed, gone back from,
// dropped. Each ends in one rename on the ESP (esp_folder.h) and may be cut at any moment and asked for again.
// Blocks; any thread, one at a time.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "machined/install/loader_trial.h"
#include "machined/upgrade/loader.h"
#include "machined/upgrade/place.h"
#include "machined/upgrade/staging.h"
#include "machined/upgrade/upgrade_store.h"

namespace stele::machined {

struct ActivateOptions {
  std::string asked_by;
  bool manual = false;
  bool no_reboot = false;
};

// Reads the staged image back once more, gives its loader its name and boot entries, and its UKI three
// tries. FAILED_PRECONDITION when nothing is staged. `warnings` gets what failed without harm.
absl::Status ActivateStaged(const UpgradePlace& place, const UpgradeStore& store, const AddBootEntries& add_entries,
                            const ActivateOptions& options, const KeepGoing& keep_going,
                            std::vector<std::string>* warnings);

// Ends the trial of the loader as well, in the firmware's boot entries (install/loader_trial.h). None: they stay.
using EndLoaderTrialCall = std::function<absl::Status(LoaderVerdict)>;

// The image that runs is good: its UKI loses its counter. OK when it has none. Works without a store: a
// node whose state partition is gone still ends its trial. `warnings`: what could not be written down, and what is
// wrong with the loader.
absl::Status BlessRunning(const UpgradePlace& place, const UpgradeStore& store, std::vector<std::string>* warnings,
                          const EndLoaderTrialCall& end_loader_trial = nullptr);

// Ends the trial of the image that runs: no tries left, refused from now on. The reboot is the caller's.
absl::Status FailRunning(const UpgradePlace& place, const UpgradeStore& store, const std::string& reason,
                         const EndLoaderTrialCall& end_loader_trial = nullptr);

// On a good image: the other slot's UKI gets three tries under the next number. The version it is; NOT_FOUND or
// FAILED_PRECONDITION when there is none that could boot. With `validate_only` nothing is changed.
absl::StatusOr<std::string> ActivateOther(const UpgradePlace& place, const UpgradeStore& store,
                                          const ActivateOptions& options, bool validate_only,
                                          const KeepGoing& keep_going);

// Whether an image waits in the other slot, to be activated or dropped; one whose activation was cut, too.
bool IsStaged(resource::v1::UpgradeState state);

// Drops what is staged, planned or activated. The version it was.
absl::StatusOr<std::string> DropStaged(const UpgradePlace& place, const UpgradeStore& store,
                                       const std::string& asked_by);

// The entry of the ESP that runs: the one the loader named, else the one with the running root. NOT_FOUND
// without one.
absl::StatusOr<BootEntry> FindRunning(const UpgradePlace& place, const Esp& esp);

}  // namespace stele::machined
