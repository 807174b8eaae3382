// Carries an image through its life on this node: publishes `slots` and `upgrades`, judges the trial, blesses or
// goes back, activates what was planned, and tells what failed.
//
// A story in the order it happens. At start a worker finds the disk we run from, mounts its ESP read-only and
// takes a survey: names on the ESP, manifests and the record on STELE-STATE. SettleRecord says what became of
// the last upgrade. If this boot is a trial, the gate is asked every second until it says good (bless, tell
// init) or failed (write down why, reboot; the loader counts; upgrade_trial.cc). Verbs run on a worker one at a time;
// each ends in another survey. Everything is derived from the disk, so a machined that was killed goes on. Owner thread
// only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/boot_facts.h"
#include "machined/controller.h"
#include "machined/upgrade/activation.h"
#include "machined/upgrade/drain.h"
#include "machined/upgrade/gate.h"
#include "machined/upgrade/place.h"
#include "machined/upgrade/survey.h"

namespace stele::machined {

class UpgradeController : public Controller {
 public:
  struct Options {
    std::string boot_facts = kBootFactsFile;
    std::string state_folder = "/run/stele/state/upgrade";
    std::string esp_target = "/run/stele/esp";
    std::string keys = "/usr/share/stele/keys";
    std::string command_line = "/proc/cmdline";
    // Blocks.
    std::function<absl::StatusOr<UpgradePlace>(const BootFacts&, const std::string& target)> find_place =
        [](const BootFacts& facts, const std::string& target) { return FindPlace(facts, target); };
  };
  // What it has others do.
  struct Hands {
    // Reboots through init; `reason` goes into the history of boots.
    std::function<void(const std::string& reason)> reboot;
    // Tells init that its own trial deadline is off.
    std::function<void(std::function<void(const absl::Status&)> done)> end_trial;
    // The last lines of a service's log.
    std::function<std::string(const std::string& service)> log_tail;
    // What a drain still waits for.
    std::function<DrainCheck(Node&)> drain;
    // Boot entries for a new loader on this ESP; on a worker.
    std::function<absl::Status(const std::string& loader, const Partition& esp)> add_boot_entries;
    // The end of that loader's trial; on a worker.
    std::function<absl::Status(LoaderVerdict verdict, const Partition& esp)> end_loader_trial;
  };
  UpgradeController(OwnerLoop& loop, Hands hands, Options options);
  ~UpgradeController() override { *alive_ = false; }

  absl::string_view name() const override { return "upgrades"; }
  std::vector<std::string> watches() const override { return {"services", "volumes", "time"}; }
  absl::Status Reconcile() override;

  // What the verbs need; FAILED_PRECONDITION on a node without slots, UNAVAILABLE before the first survey,
  // RESOURCE_EXHAUSTED while another verb is at work.
  absl::Status Ready() const;

  // Staging happens elsewhere (upgrade_service.cc), between these two.
  struct StagingGround {
    UpgradePlace place;
    std::string state_folder;
    std::string keys;
  };
  absl::StatusOr<StagingGround> BeginStaging();
  // `version` is empty while only `message` is known.
  void StagingIsAt(const std::string& version, uint64_t done, uint64_t total, const std::string& message = "");
  // `then` is called when the next verb may come.
  void EndStaging(const std::string& version, const std::string& asked_by, bool validate_only,
                  const absl::Status& result, std::function<void()> then);

  // What is kept on the state partition, and of it the record as the last survey saw it.
  UpgradeStore store() const { return UpgradeStore(options_.state_folder); }
  UpgradeRecord record() const { return survey_.has_value() ? survey_->record : UpgradeRecord(); }

  // The verbs of UpgradeService; `done` gets the version they are about, once.
  using Done = std::function<void(absl::StatusOr<std::string>)>;
  struct Activation {
    ActivateOptions options;
    absl::Time at = absl::InfinitePast();  // not after now: at once
    bool manual_by_config = false;         // options.manual is not given
    bool validate_only = false;
  };
  void Activate(Activation activation, Done done);
  void Confirm(const std::string& asked_by, Done done);
  void Rollback(const std::string& asked_by, bool validate_only, Done done);
  void Cancel(const std::string& asked_by, Done done);
  // Loads the kernel of the image that runs, for a reboot by kexec (kexec.h).
  void LoadForKexec(bool validate_only, Done done);

 private:
  bool StateMounted() const;
  bool OnTrial() const { return place_->trial && !trial_over_; }
  void Find();
  void OnSurvey(absl::StatusOr<Survey> survey);
  // Runs `work` on a worker, as the one operation; then a survey, then `then` with what it returned.
  using Work = std::function<absl::StatusOr<std::string>(std::vector<std::string>* warnings)>;
  void Operate(Work work, Done then);
  // Writes the record down; the version it is about.
  void Save(const UpgradeRecord& record, Done then);
  void Drain(const ActivateOptions& options, Done done);
  void CheckDrain();
  void GiveUpActivation(const absl::Status& why);
  void ActivateNow(const ActivateOptions& options, Done done);
  void Plan(const Activation& activation, Done done);
  void CheckPlan();
  void CheckActivated();
  void Reboot(const std::string& reason);
  void CheckTrial();
  void LookAgain(absl::Duration delay);
  GateFacts TrialFacts();
  void Bless();
  void EndCutBlessing();
  void FailTrial(const GateVerdict& verdict);
  bool NothingElseBoots() const;
  std::string Evidence(const std::string& unit) const;
  EndLoaderTrialCall EndTrialOfLoader() const {
    return [end = hands_.end_loader_trial, esp = place_->esp_partition](LoaderVerdict verdict) {
      return end(verdict, esp);
    };
  }
  void Publish();

  OwnerLoop& loop_;
  Hands hands_;
  Options options_;
  absl::Status unavailable_ = absl::UnavailableError("the node is still looking for its slots; try again");
  bool told_unavailable_ = false;
  BootFacts facts_;
  absl::Duration init_deadline_;
  std::optional<UpgradePlace> place_;
  std::optional<Survey> survey_;
  bool with_state_ = false;  // the survey saw the state partition
  bool finding_ = false;
  bool busy_ = false;
  bool trial_over_ = false;                      // blessed and told, or given up
  bool ending_ = false;                          // a reboot was asked for
  bool twin_looked_at_ = false;                  // EndCutBlessing was tried in this boot
  std::map<std::string, absl::Duration> since_;  // conditions that hold, and from which age on
  std::string waits_for_;
  std::string drain_waits_for_;
  absl::Duration not_before_ = absl::ZeroDuration();      // by Uptime: of the next activation without anybody's call
  absl::Duration drain_ends_ = absl::InfiniteDuration();  // by Uptime
  uint64_t bytes_done_ = 0;
  uint64_t bytes_total_ = 0;
  std::string staging_version_;
  std::string staging_message_;
  std::string refused_;  // how the last staging of this boot ended, unless well
  OwnerLoop::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
