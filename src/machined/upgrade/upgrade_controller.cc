#include "machined/upgrade/upgrade_controller.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "machined/log.h"
#include "machined/storage_layout.h"
#include "machined/upgrade/excerpt.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kFindAgain = absl::Seconds(5);
constexpr absl::Duration kInitTrial = absl::Seconds(900);
// stele.trial=SECONDS of the kernel's command line: init's own deadline.
absl::Duration InitDeadline(const std::string& path) {
  for (absl::string_view word : absl::StrSplit(ReadFile(path, 64 * 1024).value_or(""), absl::ByAnyChar(" \n"))) {
    int seconds = 0;
    if (absl::ConsumePrefix(&word, "stele.trial=") && absl::SimpleAtoi(word, &seconds) && seconds > 0)
      return absl::Seconds(seconds);
  }
  return kInitTrial;
}

}  // namespace

UpgradeController::UpgradeController(OwnerLoop& loop, Hands hands, Options options)
    : loop_(loop), hands_(std::move(hands)), options_(std::move(options)) {}

bool UpgradeController::StateMounted() const {
  const auto* volume = node_->store().Find<resource::v1::Volume>(kStateLabel);
  return volume != nullptr && volume->ready();
}

absl::Status UpgradeController::Reconcile() {
  if (facts_.medium == BootMedium::kUnknown) {
    absl::StatusOr<BootFacts> facts = ReadBootFacts(options_.boot_facts);
    if (facts.ok()) facts_ = *std::move(facts);
    if (absl::Status medium = CheckMedium(facts_); !medium.ok()) {
      unavailable_ = medium;
      return absl::OkStatus();
    }
    init_deadline_ = InitDeadline(options_.command_line);
  }
  if (CheckMedium(facts_).ok() && !finding_ && !busy_ && (!survey_.has_value() || (!with_state_ && StateMounted())))
    Find();
  CheckTrial();
  CheckPlan();
  CheckDrain();
  CheckActivated();
  Publish();
  return absl::OkStatus();
}

absl::Status UpgradeController::Ready() const {
  if (!survey_.has_value()) return unavailable_;
  if (!with_state_)
    return absl::UnavailableError("the state partition is not mounted: what an upgrade is about could not be kept");
  if (ending_) return absl::UnavailableError("the node is about to reboot");
  if (busy_) return absl::ResourceExhaustedError("another step of an upgrade is at work: try again when it is done");
  return absl::OkStatus();
}

void UpgradeController::Find() {
  finding_ = true;
  struct Found {
    absl::StatusOr<UpgradePlace> place = absl::UnknownError("");
    absl::StatusOr<Survey> survey = absl::UnknownError("");
  };
  auto found = std::make_shared<Found>();
  bool with_state = StateMounted();
  loop_.RunBlocking(
      [found, facts = facts_, options = options_, known = place_] {
        found->place = known.has_value() ? *known : options.find_place(facts, options.esp_target);
        found->survey =
            found->place.ok() ? TakeSurvey(*found->place, UpgradeStore(options.state_folder)) : found->place.status();
      },
      [this, found, with_state, alive = alive_] {
        if (!*alive) return;
        finding_ = false;
        if (found->place.ok() && !place_.has_value()) place_ = *found->place;
        with_state_ = with_state && found->survey.ok();
        OnSurvey(std::move(found->survey));
      });
}

void UpgradeController::OnSurvey(absl::StatusOr<Survey> survey) {
  if (!survey.ok()) {
    // Told when it lasts: at boot the ESP's file system may still be being loaded.
    bool again = unavailable_.message() == survey.status().message();
    if (again && !std::exchange(told_unavailable_, true))
      node_->Emit("upgrade", "slots", survey.status().message(), machine::v1::SEVERITY_ERROR);
    unavailable_ = survey.status();
    return LookAgain(kFindAgain);
  }
  for (const std::string& line : survey->passed_over) {
    if (!survey_.has_value()) node_->Emit("upgrade", "records", line, machine::v1::SEVERITY_WARNING);
  }
  if (!survey_.has_value() && RunsOnTrial(*survey)) place_->trial = true;
  Settled settled = SettleRecord(*place_, *survey, absl::Now());
  survey->record = settled.record;
  if (settled.failure.has_value()) survey->failures.push_back(*settled.failure);
  survey_ = *std::move(survey);
  if (settled.changed && with_state_) {
    if (!settled.event.empty()) {
      node_->Emit("upgrade", settled.record.version(), settled.event,
                  settled.failure.has_value() ? machine::v1::SEVERITY_ERROR : machine::v1::SEVERITY_WARNING);
    }
    Operate(
        [store = store(), settled](std::vector<std::string>*) -> absl::StatusOr<std::string> {
          // The failure first: a cut between the two finds the record as it was and does it again.
          if (settled.failure.has_value()) RETURN_IF_ERROR(store.AddFailure(*settled.failure));
          RETURN_IF_ERROR(store.Save(settled.record));
          return std::string();
        },
        [this](const absl::StatusOr<std::string>& result) {
          if (!result.ok()) node_->Emit("upgrade", "records", result.status().message(), machine::v1::SEVERITY_ERROR);
        });
  }
  Wake();
}

void UpgradeController::Operate(Work work, Done then) {
  busy_ = true;
  struct Result {
    std::vector<std::string> warnings;
    absl::StatusOr<std::string> version = absl::UnknownError("");
    absl::StatusOr<Survey> survey = absl::UnknownError("");
  };
  auto result = std::make_shared<Result>();
  loop_.RunBlocking(
      [result, work, place = *place_, store = store()] {
        result->version = work(&result->warnings);
        result->survey = TakeSurvey(place, store);
      },
      [this, result, then, alive = alive_] {
        if (!*alive) return;
        busy_ = false;
        for (const std::string& warning : result->warnings)
          node_->Emit("upgrade", "slots", warning, machine::v1::SEVERITY_WARNING);
        if (result->survey.ok()) survey_ = *std::move(result->survey);
        then(result->version);
        Wake();
      });
}

void UpgradeController::Save(const UpgradeRecord& record, Done then) {
  Operate(
      [store = store(), record](std::vector<std::string>*) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(store.Save(record));
        return record.version();
      },
      std::move(then));
}

void UpgradeController::LookAgain(absl::Duration delay) {
  if (timer_ != 0) loop_.Cancel(timer_);
  timer_ = loop_.After(delay, [this] {
    timer_ = 0;
    Wake();
  });
}

// --- showing

void UpgradeController::Publish() {
  if (!survey_.has_value()) return;
  std::map<std::string, resource::v1::Slot> slots = SlotsOf(*place_, *survey_);
  if (resource::v1::Slot& other = slots[place_->other_slot]; other.message().empty()) other.set_message(refused_);
  absl::Status put = node_->store().Replace(name(), slots);
  resource::v1::Upgrade upgrade = UpgradeOf(survey_->record);
  if (upgrade.state() == resource::v1::UPGRADE_STATE_DRAINING) upgrade.set_message(drain_waits_for_);
  if (OnTrial()) {
    upgrade.set_state(resource::v1::UPGRADE_STATE_TRIAL);
    upgrade.set_version(place_->running_version);
    if (!waits_for_.empty()) upgrade.set_message(waits_for_);
    GateFacts facts = TrialFacts();
    SetTime(absl::Now() + facts.deadline - facts.age, *upgrade.mutable_deadline());
    // One moment is one value: written anew each second it would be a change each second.
    const auto* shown = node_->store().Find<resource::v1::Upgrade>("current");
    if (shown != nullptr && shown->has_deadline() &&
        std::abs(shown->deadline().seconds() - upgrade.deadline().seconds()) <= 2) {
      *upgrade.mutable_deadline() = shown->deadline();
    }
  }
  if (!staging_version_.empty() || !staging_message_.empty()) {
    upgrade.Clear();
    upgrade.set_state(resource::v1::UPGRADE_STATE_STAGING);
    upgrade.set_version(staging_version_);
    upgrade.set_message(staging_message_);
    upgrade.set_from_version(place_->running_version);
  }
  upgrade.set_bytes_done(bytes_done_);
  upgrade.set_bytes_total(bytes_total_);
  if (put.ok()) put = node_->store().Put(name(), "current", upgrade);
  if (!put.ok()) Log("error: ", put.message());
}

}  // namespace stele::machined
