// The verbs of UpgradeService, as the controller carries them out.
#include "absl/time/clock.h"
#include "machined/upgrade/kexec.h"
#include "machined/upgrade/upgrade_controller.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kFurthestPlan = absl::Hours(24 * 366);
constexpr size_t kMaxRefusal = 1024;

}  // namespace

absl::StatusOr<UpgradeController::StagingGround> UpgradeController::BeginStaging() {
  RETURN_IF_ERROR(Ready());
  // Before anything is taken up: an upload would keep the gate from being asked until it ends.
  if (OnTrial()) {
    return absl::FailedPreconditionError(
        "the image that runs is on trial: nothing is staged before it is known to be good");
  }
  busy_ = true;
  StagingGround ground = {*place_, options_.state_folder, options_.keys};
  ground.place.trial = false;  // this boot may have begun as one
  return ground;
}

void UpgradeController::StagingIsAt(const std::string& version, uint64_t done, uint64_t total,
                                    const std::string& message) {
  staging_version_ = version;
  staging_message_ = message;
  bytes_done_ = done;
  bytes_total_ = total;
  Publish();
}

void UpgradeController::EndStaging(const std::string& version, const std::string& asked_by, bool validate_only,
                                   const absl::Status& result, std::function<void()> then) {
  staging_version_.clear();
  staging_message_.clear();
  if (validate_only) {
    // Nothing was done that anybody else would want to know of.
  } else if (result.ok()) {
    refused_.clear();
    node_->Emit("upgrade", version, absl::StrCat(version, " staged by ", asked_by));
  } else {
    refused_ = Bounded(absl::StrCat("staging ", version.empty() ? "an image" : version, " ended: ", result.message()),
                       kMaxRefusal);
    node_->Emit("upgrade", version.empty() ? "image" : version,
                absl::StrCat("staging by ", asked_by, " ended: ", result.message()), machine::v1::SEVERITY_WARNING);
  }
  Operate([](std::vector<std::string>*) -> absl::StatusOr<std::string> { return std::string(); },
          [then = std::move(then)](const absl::StatusOr<std::string>&) { then(); });
}

void UpgradeController::Activate(Activation activation, Done done) {
  if (absl::Status ready = Ready(); !ready.ok()) return done(ready);
  if (!IsStaged(survey_->record.state()))
    return done(absl::FailedPreconditionError("nothing is staged: stage an image first"));
  if (survey_->record.state() == resource::v1::UPGRADE_STATE_DRAINING) {
    return done(absl::FailedPreconditionError(
        "the node is being drained for it already: `osctl upgrade status` says for what it waits, `osctl upgrade "
        "cancel` ends it"));
  }
  if (node_->config() == nullptr) {
    return done(absl::FailedPreconditionError(
        "the node has no configuration, so no image could be shown to be good on it: `osctl apply` one first"));
  }
  if (activation.manual_by_config) activation.options.manual = node_->config()->upgrade().manual();
  bool later = activation.at > absl::Now();
  if (later && activation.at > absl::Now() + kFurthestPlan) {
    return done(absl::InvalidArgumentError("an activation is planned for at most a year ahead"));
  }
  if (activation.validate_only) return done(survey_->record.version());
  if (later) return Plan(activation, std::move(done));
  // A call that was cut is asked again: the next boot tries the image already, and a record that says otherwise would
  // be believed by it.
  if (survey_->record.state() == resource::v1::UPGRADE_STATE_ACTIVATED) return ActivateNow(activation.options, done);
  Drain(activation.options, std::move(done));
}

void UpgradeController::Confirm(const std::string& asked_by, Done done) {
  if (absl::Status ready = Ready(); !ready.ok()) return done(ready);
  if (!OnTrial()) return done(absl::FailedPreconditionError("no image is on trial"));
  UpgradeRecord record = survey_->record;
  if (record.state() != resource::v1::UPGRADE_STATE_TRIAL) {
    return done(absl::FailedPreconditionError(
        "the image on trial was not activated by an upgrade that is known: nothing waits for a confirmation"));
  }
  record.set_confirmed(true);
  Save(record, [this, asked_by, done](const absl::StatusOr<std::string>& result) {
    if (result.ok()) node_->Emit("upgrade", *result, absl::StrCat(*result, " confirmed by ", asked_by));
    done(result);
  });
}

void UpgradeController::Rollback(const std::string& asked_by, bool validate_only, Done done) {
  if (absl::Status ready = Ready(); !ready.ok()) return done(ready);
  bool on_trial = OnTrial();
  if (on_trial && NothingElseBoots())
    return done(absl::FailedPreconditionError("there is no other image to go back to"));
  auto other = survey_->images.find(place_->other_slot);
  std::string before = other == survey_->images.end() ? "" : other->second.version;
  if (on_trial && validate_only) return done(before);
  if (IsStaged(survey_->record.state()) && !on_trial) {
    return done(absl::FailedPreconditionError(
        "the other slot holds an image that was staged and not tried: activate or cancel it"));
  }
  Operate(
      [place = *place_, store = store(), on_trial, validate_only, before, asked_by,
       end = EndTrialOfLoader()](std::vector<std::string>*) -> absl::StatusOr<std::string> {
        if (!on_trial) return ActivateOther(place, store, {.asked_by = asked_by}, validate_only, absl::OkStatus);
        RETURN_IF_ERROR(FailRunning(place, store, absl::StrCat("rolled back by ", asked_by), end));
        return before;
      },
      [this, asked_by, validate_only, done](const absl::StatusOr<std::string>& result) {
        if (!result.ok() || validate_only) return done(result);
        node_->Emit("upgrade", *result, absl::StrCat("back to ", *result, ", asked by ", asked_by),
                    machine::v1::SEVERITY_WARNING);
        Reboot(absl::StrCat("rollback to ", *result));
        done(result);
      });
}

void UpgradeController::Cancel(const std::string& asked_by, Done done) {
  if (absl::Status ready = Ready(); !ready.ok()) return done(ready);
  Operate([place = *place_, store = store(),
           asked_by](std::vector<std::string>*) { return DropStaged(place, store, asked_by); },
          [this, asked_by, done](const absl::StatusOr<std::string>& result) {
            if (result.ok()) node_->Emit("upgrade", *result, absl::StrCat(*result, " cancelled by ", asked_by));
            done(result);
          });
}

void UpgradeController::LoadForKexec(bool validate_only, Done done) {
  if (absl::Status ready = Ready(); !ready.ok()) return done(ready);
  if (absl::Status wrong = MayKexec(*survey_, OnTrial()); !wrong.ok()) return done(wrong);
  Operate(
      [place = *place_, store = store(), validate_only](std::vector<std::string>*) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(LoadRunningKernel(place, store, validate_only));
        return place.running_version;
      },
      std::move(done));
}

}  // namespace stele::machined
