// The image that runs is on trial: the gate is asked, its verdict carried out.
#include "machined/upgrade/excerpt.h"
#include "machined/upgrade/upgrade_controller.h"
#include "machined/uptime.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kGatePause = absl::Seconds(1);
constexpr absl::Duration kBlessAgain = absl::Seconds(5);
// A failing image that nothing can replace is restarted this often, and then left to run.
constexpr uint32_t kMostTries = 5;

}  // namespace

GateFacts UpgradeController::TrialFacts() {
  GateFacts facts;
  facts.age = Uptime();
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
  if (!survey_.has_value() || trial_over_ || busy_ || ending_) return;
  if (!place_->trial) return EndCutBlessing();
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
      [place = *place_, store = store(),
       end = EndTrialOfLoader()](std::vector<std::string>* warnings) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(BlessRunning(place, store, warnings, end));
        return place.running_version;
      },
      [this](const absl::StatusOr<std::string>& result) {
        if (!result.ok()) {
          // Tried again until init's deadline: an image that cannot be blessed cannot stay either.
          waits_for_ = std::string(result.status().message());
          node_->Emit("upgrade", place_->running_version, absl::StrCat("bless: ", waits_for_),
                      machine::v1::SEVERITY_ERROR);
          return LookAgain(kBlessAgain);
        }
        trial_over_ = true;
        node_->Emit("upgrade", *result, absl::StrCat(*result, " is good"));
        hands_.end_trial([this, alive = alive_](const absl::Status& status) {
          if (!*alive || status.ok()) return;
          trial_over_ = false;
          node_->Emit("upgrade", "trial", absl::StrCat("tell init: ", status.message()), machine::v1::SEVERITY_ERROR);
          LookAgain(kBlessAgain);
        });
      });
}

// A power cut in a blessing's rename leaves both names. When the loader takes the good one nothing is on trial and
// nobody blesses, but the counted one must not stay: the next boot might count with it.
void UpgradeController::EndCutBlessing() {
  if (twin_looked_at_ || !survey_->running.has_value() || survey_->running->kind == BootEntry::Kind::kGood) return;
  const BootEntry good = {.number = survey_->running->number};
  bool both = false;
  for (const Survey::Entry& entry : survey_->entries) both |= entry.entry == good;
  if (!both) return;
  twin_looked_at_ = true;
  Operate(
      [place = *place_, store = store(),
       end = EndTrialOfLoader()](std::vector<std::string>* warnings) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(BlessRunning(place, store, warnings, end));
        return place.running_version;
      },
      [this, counted = FileName(*survey_->running)](const absl::StatusOr<std::string>& result) {
        node_->Emit("upgrade", place_->running_version,
                    result.ok() ? absl::StrCat(counted, ", a second name of what runs, was set aside")
                                : absl::StrCat("set ", counted, " aside: ", result.status().message()),
                    machine::v1::SEVERITY_WARNING);
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
        if (!stays) return Reboot(absl::StrCat("trial of ", place_->running_version, " failed"));
        trial_over_ = true;
        hands_.end_trial([](const absl::Status&) {});
      });
}

}  // namespace stele::machined
