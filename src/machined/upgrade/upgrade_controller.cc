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

constexpr absl::Duration kGatePause = absl::Seconds(1);
constexpr absl::Duration kPlanPause = absl::Seconds(20);  // wall clocks jump: never sleep to the end
constexpr absl::Duration kFindAgain = absl::Seconds(5);
constexpr absl::Duration kInitTrial = absl::Seconds(900);
// A failing image that nothing can replace is restarted this often, and then left to run.
constexpr uint32_t kMostTries = 5;

absl::Duration Age() {
  timespec now;
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return absl::DurationFromTimespec(now);
}

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
        found->place = known.has_value() ? *known : FindPlace(facts, options.esp_target);
        found->survey =
            found->place.ok() ? TakeSurvey(*found->place, UpgradeStore(options.state_folder)) : found->place.status();
      },
      [this, found, with_state, alive = alive_] {
        if (!*alive) return;
        finding_ = false;
        if (found->place.ok()) place_ = *found->place;
        with_state_ = with_state;
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
  Settled settled = SettleRecord(*place_, *survey, absl::Now());
  survey->record = settled.record;
  if (settled.failure.has_value()) survey->failures.push_back(*settled.failure);
  survey_ = *std::move(survey);
  if (settled.changed && with_state_) {
    if (!settled.event.empty()) {
      node_->Emit("upgrade", settled.record.version(), settled.event, machine::v1::SEVERITY_ERROR);
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

void UpgradeController::LookAgain(absl::Duration delay) {
  if (timer_ != 0) loop_.Cancel(timer_);
  timer_ = loop_.After(delay, [this] {
    timer_ = 0;
    Wake();
  });
}

// --- the trial

GateFacts UpgradeController::TrialFacts() {
  GateFacts facts;
  facts.age = Age();
  const config::v1::MachineConfig* config = node_->config();
  facts.deadline = TrialDeadline(config == nullptr ? 0 : config->upgrade().deadline(), init_deadline_);
  const UpgradeRecord& record = survey_->record;
  bool known = record.state() == resource::v1::UPGRADE_STATE_TRIAL;
  facts.manual = known ? record.manual() : config != nullptr && config->upgrade().manual();
  facts.confirmed = known && record.confirmed();
  auto add = [&](const char* phase, const char* unit, bool holds, std::string message) {
    if (!holds) since_.erase(phase);
    absl::Duration since = holds ? since_.emplace(phase, facts.age).first->second : absl::ZeroDuration();
    facts.conditions.push_back({phase, unit, holds, since, std::move(message)});
  };
  add("config", "", config != nullptr, "no configuration is applied");
  add("storage", "", node_->data_ready(), "/var is not mounted");
  for (auto [phase, unit] :
       {std::pair("api", "apid"), std::pair("containerd", "containerd"), std::pair("kubelet", "kubelet")}) {
    const auto* service = node_->store().Find<resource::v1::Service>(unit);
    std::string message = service == nullptr ? "it is not defined" : service->message();
    if (service != nullptr && message.empty()) message = "it is not ready";
    add(phase, unit, service != nullptr && service->ready(), message);
  }
  return facts;
}

void UpgradeController::CheckTrial() {
  if (!survey_.has_value() || !place_->trial || trial_over_ || busy_ || ending_) return;
  // The record tells who confirms and may hold a confirmation: it is waited for, but not beyond a quarter of the time.
  GateFacts facts = TrialFacts();
  if (!with_state_ && facts.age < facts.deadline / 4) return LookAgain(kGatePause);
  if (survey_->running.has_value() && survey_->running->kind == BootEntry::Kind::kGood) return Bless();
  GateVerdict verdict = JudgeTrial(facts);
  waits_for_ = verdict.message;
  switch (verdict.result) {
    case GateVerdict::kWaiting:
      return LookAgain(kGatePause);
    case GateVerdict::kGood:
      return Bless();
    case GateVerdict::kFailed:
      return FailTrial(verdict);
  }
}

void UpgradeController::Bless() {
  Operate(
      [place = *place_, store = store()](std::vector<std::string>* warnings) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(BlessRunning(place, store, warnings));
        return place.running_version;
      },
      [this](const absl::StatusOr<std::string>& result) {
        if (!result.ok()) {
          // Tried again until init's deadline: an image that cannot be blessed cannot stay either.
          waits_for_ = std::string(result.status().message());
          node_->Emit("upgrade", place_->running_version, absl::StrCat("bless: ", waits_for_),
                      machine::v1::SEVERITY_ERROR);
          return LookAgain(kFindAgain);
        }
        trial_over_ = true;
        node_->Emit("upgrade", *result, absl::StrCat(*result, " is good"));
        hands_.end_trial([this, alive = alive_](const absl::Status& status) {
          if (!*alive || status.ok()) return;
          trial_over_ = false;
          node_->Emit("upgrade", "trial", absl::StrCat("tell init: ", status.message()), machine::v1::SEVERITY_ERROR);
          LookAgain(kFindAgain);
        });
      });
}

std::string UpgradeController::Evidence(const std::string& unit) const {
  if (unit.empty()) return "";
  const auto* service = node_->store().Find<resource::v1::Service>(unit);
  std::string evidence;
  if (service != nullptr && !service->last_exit().empty())
    evidence = absl::StrCat("; ", unit, " last ended with ", service->last_exit());
  std::string lines = Excerpt(hands_.log_tail(unit));
  return lines.empty() ? evidence : absl::StrCat(evidence, "; its log:\n", lines);
}

bool UpgradeController::NothingElseBoots() const {
  for (const Survey::Entry& entry : survey_->entries) {
    bool other = entry.entry.bootable() && entry.root_hash != place_->running_root_hash;
    if (other && !entry.entry.failed() && !entry.root_hash.empty()) return false;
  }
  return true;
}

void UpgradeController::FailTrial(const GateVerdict& verdict) {
  std::string reason = absl::StrCat(verdict.message, Evidence(verdict.unit));
  // The loop breaker: nothing is left to go back to, and starting it again did not help.
  bool stays = survey_->running.has_value() && survey_->running->failed() && survey_->running->done >= kMostTries &&
               NothingElseBoots();
  if (!stays) ending_ = true;
  UpgradeRecord record = survey_->record;
  bool known = record.state() == resource::v1::UPGRADE_STATE_TRIAL;
  record.set_message(reason);
  Operate(
      [store = store(), record, known](std::vector<std::string>* warnings) -> absl::StatusOr<std::string> {
        absl::Status saved = known ? store.Save(record) : absl::OkStatus();
        if (!saved.ok()) warnings->push_back(std::string(saved.message()));
        return record.version();
      },
      [this, reason, stays](const absl::StatusOr<std::string>&) {
        node_->Emit("upgrade", place_->running_version,
                    absl::StrCat("trial failed", stays ? ", and no other image is left: it stays" : ": rebooting", ": ",
                                 reason),
                    machine::v1::SEVERITY_ERROR);
        if (!stays) return hands_.reboot(absl::StrCat("trial of ", place_->running_version, " failed"));
        trial_over_ = true;
        hands_.end_trial([](const absl::Status&) {});
      });
}

// --- the plan

void UpgradeController::CheckPlan() {
  if (!survey_.has_value() || busy_ || ending_ || survey_->record.state() != resource::v1::UPGRADE_STATE_PLANNED)
    return;
  absl::Time at = TimeOf(survey_->record.at());
  // A clock that no server has set yet may be anywhere.
  const auto* clock = node_->store().Find<resource::v1::TimeStatus>("clock");
  bool unset = clock != nullptr && clock->servers_size() > 0 && !clock->synchronized();
  if (absl::Now() < at || unset) return LookAgain(std::min(kPlanPause, std::max(absl::Seconds(1), at - absl::Now())));
  ActivateOptions options = {survey_->record.asked_by(), survey_->record.manual(), survey_->record.no_reboot()};
  ActivateNow(options, [this](const absl::StatusOr<std::string>& result) {
    if (result.ok()) return;
    node_->Emit("upgrade", survey_->record.version(), absl::StrCat("planned activation: ", result.status().message()),
                machine::v1::SEVERITY_ERROR);
    LookAgain(kPlanPause);
  });
}

// --- showing

void UpgradeController::Publish() {
  if (!survey_.has_value()) return;
  absl::Status put = node_->store().Replace(name(), SlotsOf(*place_, *survey_));
  resource::v1::Upgrade upgrade = UpgradeOf(survey_->record);
  if (place_->trial && !trial_over_) {
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
  if (!staging_version_.empty()) {
    upgrade.Clear();
    upgrade.set_state(resource::v1::UPGRADE_STATE_STAGING);
    upgrade.set_version(staging_version_);
    upgrade.set_from_version(place_->running_version);
  }
  upgrade.set_bytes_done(bytes_done_);
  upgrade.set_bytes_total(bytes_total_);
  if (put.ok()) put = node_->store().Put(name(), "current", upgrade);
  if (!put.ok()) Log("error: ", put.message());
}

}  // namespace stele::machined
