// From an image that is staged to one that the next boot tries: the plan, the drain, the activation.
//
// PLANNED: at its time the drain begins. DRAINING: the drain is asked each second (drain.h); when it is done or its
// time has passed, the image is activated. Both are in the record, with their time, so whichever machined runs then
// goes on. ACTIVATED: the rename was made, the reboot follows; one that a machined was killed before is asked for by
// the next, and where a power cut came before the rename, the record is PLANNED again, for now (survey.cc).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "machined/time_controller.h"
#include "machined/upgrade/upgrade_controller.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kPlanPause = absl::Seconds(20);  // wall clocks jump: never sleep to the end
constexpr absl::Duration kDrainPause = absl::Seconds(1);
constexpr absl::Duration kAnswerFirst = absl::Milliseconds(300);
constexpr absl::Duration kRebootPatience = absl::Minutes(2);  // init's own is half a minute

ActivateOptions OptionsOf(const UpgradeRecord& record) {
  return {record.asked_by(), record.manual(), record.no_reboot()};
}

}  // namespace

void UpgradeController::Plan(const Activation& activation, Done done) {
  if (survey_->record.state() == resource::v1::UPGRADE_STATE_ACTIVATED) {
    return done(absl::FailedPreconditionError("the image is activated already: the next boot tries it"));
  }
  UpgradeRecord record = survey_->record;
  record.set_state(resource::v1::UPGRADE_STATE_PLANNED);
  SetTime(absl::Now(), *record.mutable_since());
  SetTime(activation.at, *record.mutable_at());
  record.set_asked_by(activation.options.asked_by);
  record.set_manual(activation.options.manual);
  record.set_no_reboot(activation.options.no_reboot);
  Save(record, [this, done, record](const absl::StatusOr<std::string>& result) {
    if (result.ok()) {
      node_->Emit("upgrade", *result,
                  absl::StrCat("activation planned for ",
                               absl::FormatTime(absl::RFC3339_sec, TimeOf(record.at()), absl::UTCTimeZone()), " by ",
                               record.asked_by()));
    }
    done(result);
  });
}

void UpgradeController::CheckPlan() {
  if (!survey_.has_value() || busy_ || ending_ || survey_->record.state() != resource::v1::UPGRADE_STATE_PLANNED)
    return;
  if (node_->config() == nullptr || Uptime() < not_before_) return LookAgain(kDrainPause);  // it says how to drain
  absl::Time at = TimeOf(survey_->record.at());
  if (absl::Now() < at || !ClockIsSet(*node_))
    return LookAgain(std::min(kPlanPause, std::max(absl::Seconds(1), at - absl::Now())));
  Drain(OptionsOf(survey_->record), [this](const absl::StatusOr<std::string>& result) {
    if (!result.ok()) GiveUpActivation(result.status());
  });
}

// --- the drain

void UpgradeController::Drain(const ActivateOptions& options, Done done) {
  const config::v1::MachineConfig* config = node_->config();
  absl::Duration timeout = absl::Seconds(config == nullptr ? 0 : config->upgrade().drain_timeout());
  const std::string version = survey_->record.version();
  DrainCheck check = timeout > absl::ZeroDuration() ? hands_.drain(*node_) : DrainCheck();
  if (check.done) {
    node_->Emit("upgrade", version,
                timeout > absl::ZeroDuration() ? "drain: nothing to wait for"
                                               : "drain skipped: no upgrade.drainTimeout is configured");
    return ActivateNow(options, std::move(done));
  }
  UpgradeRecord record = survey_->record;
  record.set_state(resource::v1::UPGRADE_STATE_DRAINING);
  SetTime(absl::Now(), *record.mutable_since());
  SetTime(absl::Now() + timeout, *record.mutable_at());
  record.clear_message();
  record.set_asked_by(options.asked_by);
  record.set_manual(options.manual);
  record.set_no_reboot(options.no_reboot);
  Save(record, [this, done, check, timeout](const absl::StatusOr<std::string>& result) {
    if (result.ok()) {
      drain_ends_ = absl::InfiniteDuration();
      node_->Emit("upgrade", *result,
                  absl::StrCat("drain: waits at most ", absl::FormatDuration(timeout), " for ", check.waits_for));
    }
    done(result);
  });
}

void UpgradeController::CheckDrain() {
  if (!survey_.has_value() || busy_ || ending_ || survey_->record.state() != resource::v1::UPGRADE_STATE_DRAINING)
    return;
  if (Uptime() < not_before_) return LookAgain(kDrainPause);
  const UpgradeRecord& record = survey_->record;
  // A clock that jumps back must not lengthen it: it ends by ours as well.
  if (drain_ends_ == absl::InfiniteDuration()) drain_ends_ = Uptime() + (TimeOf(record.at()) - TimeOf(record.since()));
  bool late = absl::Now() >= TimeOf(record.at()) || Uptime() >= drain_ends_;
  DrainCheck check = hands_.drain(*node_);
  drain_waits_for_ = check.done ? "" : absl::StrCat("waits for ", check.waits_for);
  if (!check.done && !late) return LookAgain(kDrainPause);
  node_->Emit("upgrade", record.version(),
              check.done ? "drained" : absl::StrCat("drain timed out, goes on without: ", drain_waits_for_),
              check.done ? machine::v1::SEVERITY_INFO : machine::v1::SEVERITY_WARNING);
  ActivateNow(OptionsOf(record), [this](const absl::StatusOr<std::string>& result) {
    if (!result.ok()) GiveUpActivation(result.status());
  });
}

// Nobody waits for the answer any more: the record tells it.
void UpgradeController::GiveUpActivation(const absl::Status& why) {
  if (survey_->record.state() == resource::v1::UPGRADE_STATE_ACTIVATED) {  // it failed behind the rename
    return node_->Emit("upgrade", survey_->record.version(), why.message(), machine::v1::SEVERITY_ERROR);
  }
  UpgradeRecord record = survey_->record;
  record.set_state(resource::v1::UPGRADE_STATE_STAGED);
  record.clear_at();
  record.set_message(absl::StrCat("not activated: ", why.message()));
  SetTime(absl::Now(), *record.mutable_since());
  node_->Emit("upgrade", record.version(), record.message(), machine::v1::SEVERITY_ERROR);
  Save(record, [this](const absl::StatusOr<std::string>& result) {
    if (result.ok()) return;
    // The record says still that it goes on.
    node_->Emit("upgrade", "records", result.status().message(), machine::v1::SEVERITY_ERROR);
    not_before_ = Uptime() + kPlanPause;
  });
}

// --- the activation

void UpgradeController::ActivateNow(const ActivateOptions& options, Done done) {
  Operate(
      [place = *place_, store = store(), options, version = survey_->record.version(),
       add = hands_.add_boot_entries](std::vector<std::string>* warnings) -> absl::StatusOr<std::string> {
        auto entries = [&](const std::string& loader) { return add(loader, place.esp_partition); };
        RETURN_IF_ERROR(ActivateStaged(place, store, entries, options, absl::OkStatus, warnings));
        return version;
      },
      [this, done, options](const absl::StatusOr<std::string>& result) {
        if (!result.ok()) return done(result);
        node_->Emit("upgrade", *result,
                    absl::StrCat(*result, " activated by ", options.asked_by, ": the next boot tries it"));
        if (!options.no_reboot) Reboot(absl::StrCat("upgrade to ", *result));
        done(result);
      });
}

// The rename was made, and whoever made it did not get as far as the reboot. Not where a boot has tried it since: then
// this image runs because somebody chose it.
void UpgradeController::CheckActivated() {
  if (!survey_.has_value() || !with_state_ || busy_ || ending_) return;
  const UpgradeRecord& record = survey_->record;
  if (record.state() != resource::v1::UPGRADE_STATE_ACTIVATED || record.no_reboot()) return;
  const BootEntry untried = {
      .number = record.number(), .kind = BootEntry::Kind::kCounted, .left = kTrialTries, .done = 0};
  for (const Survey::Entry& entry : survey_->entries) {
    if (entry.entry == untried) return Reboot(absl::StrCat("upgrade to ", record.version()));
  }
}

void UpgradeController::Reboot(const std::string& reason) {
  ending_ = true;
  // The answer first: what follows takes the API away.
  loop_.After(kAnswerFirst, [this, alive = alive_, reason] {
    if (*alive) hands_.reboot(reason);
  });
  loop_.After(kRebootPatience, [this, alive = alive_, reason] {
    if (!*alive) return;
    ending_ = false;
    node_->Emit("upgrade", "reboot", absl::StrCat("init did not reboot: ", reason), machine::v1::SEVERITY_ERROR);
    Wake();
  });
}

}  // namespace stele::machined
