// The part of ConfigController that changes the configuration when asked, keeps trials, and tells the ledger.
#include "absl/time/clock.h"
#include "machined/config_controller.h"
#include "machined/config_history.h"
#include "machined/log.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

// From the answer to the change: it may take the network, or the caller's connection, away.
constexpr absl::Duration kAnswerFirst = absl::Milliseconds(200);

std::string Ran(uint64_t number) { return number == 0 ? std::string("the seed") : absl::StrCat("generation ", number); }

}  // namespace

absl::Status ConfigController::Known() const {
  if (loaded_) return absl::OkStatus();
  return absl::UnavailableError("the node is still looking for its configuration; try again");
}

absl::Status ConfigController::MayChange() const {
  RETURN_IF_ERROR(Known());
  if (storing_) return absl::AbortedError("another configuration is being applied; try again");
  return absl::OkStatus();
}

absl::Status ConfigController::MayApply(const Wish& wish) const {
  RETURN_IF_ERROR(MayChange());
  if (on_trial()) {
    absl::Duration left = std::max(absl::Trunc(running_.until - Uptime(), absl::Seconds(1)), absl::ZeroDuration());
    return absl::FailedPreconditionError(absl::StrCat("generation ", running_.number, " is on trial for another ",
                                                      absl::FormatDuration(left), ": keep it (`osctl config confirm ",
                                                      running_.number, "`) or end that (`osctl config revert`) first"));
  }
  if (wish.if_generation.has_value() && *wish.if_generation != running_.number) {
    return absl::AbortedError(absl::StrCat("generation ", running_.number, " runs by now, not ", *wish.if_generation,
                                           ": look at what changed and try again"));
  }
  if (wish.mode == Mode::kNextBoot && !state_mounted_) {
    return absl::FailedPreconditionError("the node has no state partition to stage a configuration on");
  }
  if (wish.mode == Mode::kTry && (wish.try_timeout < kMinTryTimeout || wish.try_timeout > kMaxTryTimeout)) {
    return absl::InvalidArgumentError(absl::StrCat("a trial takes from ", absl::FormatDuration(kMinTryTimeout), " to ",
                                                   absl::FormatDuration(kMaxTryTimeout)));
  }
  return absl::OkStatus();
}

void ConfigController::Apply(Wish wish, Done done) {
  if (absl::Status may = MayApply(wish); !may.ok()) return done(may);
  BeginChange();
  Applied applied = {.plan = Plan(*wish.config)};
  Generation wanted = {.source = wish.source, .applied = absl::Now(), .yaml = std::move(wish.yaml), .by = wish.caller};
  wanted.repeats = wish.repeats;
  wanted.boot = options_.boot_id;
  wanted.timeout = wish.try_timeout;
  wanted.until = Uptime() + wish.try_timeout;
  applied.deadline = wish.mode == Mode::kTry ? wanted.applied + wish.try_timeout : absl::InfiniteFuture();
  auto saved = std::make_shared<absl::StatusOr<Generation>>(Generation{});
  loop_.RunBlocking(
      [saved, folder = folder(), wanted = std::move(wanted), mode = wish.mode]() mutable {
        ConfigStore store = OpenConfigStore(folder);
        if (mode == Mode::kNextBoot) {
          absl::Status staged = store.Stage(wanted.yaml, wanted.boot, wanted.applied, wanted.by);
          if (!staged.ok()) *saved = staged;
        } else {
          *saved = mode == Mode::kTry ? store.Try(std::move(wanted)) : store.Save(std::move(wanted));
        }
      },
      [this, saved, mode = wish.mode, config = wish.config, caller = wish.caller, applied, done,
       alive = alive_]() mutable {
        if (!*alive) return;
        EndChange();
        if (!saved->ok()) return done(saved->status());
        if (mode == Mode::kNextBoot) {
          node_->Emit("config", "staged", absl::StrCat("configuration staged by ", caller));
          return done(std::move(applied));
        }
        if (mode == Mode::kTry) {
          before_trial_ = running_;
          config_before_trial_ = config_;
        }
        message_.clear();
        applied.generation = (*saved)->number;
        std::string told = absl::StrCat("generation ", applied.generation);
        if ((*saved)->repeats != 0) absl::StrAppend(&told, ", again ", (*saved)->repeats, ",");
        absl::StrAppend(&told, mode == Mode::kTry ? " on trial, asked by " : " applied by ", caller);
        if (mode == Mode::kTry) absl::StrAppend(&told, ", for ", absl::FormatDuration((*saved)->timeout));
        node_->Emit("config", "running", told);
        done(std::move(applied));
        (*saved)->source = "api";  // whatever the history calls it
        Run(**std::move(saved), std::move(config), kAnswerFirst);
      });
}

void ConfigController::ArmTrial() {
  if (trial_timer_ != 0) loop_.Cancel(trial_timer_);
  trial_timer_ = 0;
  if (!on_trial()) {
    before_trial_ = {};
    config_before_trial_ = nullptr;
    return;
  }
  trial_folder_ = folder();
  // A little behind it: the disk has whole milliseconds.
  absl::Duration left = std::max(running_.until - Uptime(), absl::ZeroDuration()) + absl::Milliseconds(5);
  trial_timer_ = loop_.After(left, [this, alive = alive_] {
    if (!*alive) return;
    trial_timer_ = 0;
    OnTrialOver();
  });
}

void ConfigController::OnTrialOver() {
  if (!on_trial()) return;
  if (!storing_) return EndTrial("", nullptr);
  // A confirmation may be on its way to the disk: who was first is known when it is there.
  trial_timer_ = loop_.After(absl::Milliseconds(50), [this, alive = alive_] {
    if (!*alive) return;
    trial_timer_ = 0;
    OnTrialOver();
  });
}

void ConfigController::EndTrial(const std::string& message, Done done) {
  BeginChange();
  auto loaded = std::make_shared<LoadedConfig>();
  loop_.RunBlocking(
      [loaded, message, folder = trial_folder_, number = running_.number, sources = options_.sources,
       state_mounted = state_mounted_, moment = Moment()] {
        absl::Status status = message.empty() ? absl::OkStatus() : ConfigStore(folder).Revert(number, message);
        *loaded = LoadConfig(sources, state_mounted, moment);
        if (!status.ok()) loaded->warnings.emplace_back(status.message());
      },
      [this, loaded, message, done, alive = alive_] {
        if (!*alive) return;
        EndChange();
        bool still = loaded->generation.fate == Generation::Fate::kTrying;
        Tell(*loaded);
        if (still && message.empty()) return ArmTrial();
        if (still) {
          if (done)
            done(absl::InternalError(loaded->warnings.empty() ? "the trial cannot be ended" : loaded->warnings.back()));
          return;
        }
        if (!message.empty()) {
          node_->Emit("config", "running",
                      absl::StrCat("generation ", running_.number, " ", message, ": ", Ran(loaded->generation.number),
                                   " runs again"));
        }
        if (loaded->config == nullptr) {
          loaded->generation = before_trial_;
          loaded->config = config_before_trial_;
        }
        if (loaded->config == nullptr) {  // machined was restarted since, and the seed is gone
          node_->Emit("config", "running", "there is no configuration to go back to: the one on trial stays",
                      machine::v1::SEVERITY_ERROR);
          if (done) done(absl::DataLossError("there is no configuration to go back to: the one on trial stays"));
          return;
        }
        message_ = loaded->generation.message;
        Applied applied = {loaded->generation.number, Plan(*loaded->config)};
        if (done) done(std::move(applied));
        Run(std::move(loaded->generation), std::move(loaded->config), kAnswerFirst);
      });
}

void ConfigController::Confirm(uint64_t generation, const std::string& caller, Done done) {
  if (absl::Status may = MayChange(); !may.ok()) return done(may);
  if (!on_trial()) return done(absl::FailedPreconditionError("no configuration is on trial"));
  if (generation != running_.number) {
    return done(
        absl::FailedPreconditionError(absl::StrCat("generation ", running_.number, " is on trial, not ", generation)));
  }
  if (Uptime() >= running_.until) {
    return done(
        absl::FailedPreconditionError(absl::StrCat("too late: the time of generation ", generation, " is over")));
  }
  BeginChange();
  auto saved = std::make_shared<absl::StatusOr<Generation>>(Generation{});
  loop_.RunBlocking(
      [saved, folder = trial_folder_, generation] { *saved = OpenConfigStore(folder).Confirm(generation); },
      [this, saved, generation, caller, done, alive = alive_] {
        if (!*alive) return;
        EndChange();
        if (!saved->ok()) return done(saved->status());
        running_.fate = Generation::Fate::kApplied;
        ArmTrial();
        PutConfigStatus();
        node_->Emit("config", "running", absl::StrCat("generation ", generation, " confirmed by ", caller));
        done(Applied{generation});
        Judge();
      });
}

void ConfigController::Revert(uint64_t generation, const std::string& caller, Done done) {
  if (absl::Status may = MayChange(); !may.ok()) return done(may);
  if (generation == 0) {
    if (!on_trial()) {
      return done(absl::FailedPreconditionError(
          "no configuration is on trial: name the generation to go back to (`osctl config history` lists them)"));
    }
    return EndTrial(absl::StrCat("was reverted by ", caller), std::move(done));
  }
  Wish wish = {.caller = caller, .source = "revert", .repeats = generation};
  if (absl::Status may = MayApply(wish); !may.ok()) return done(may);
  if (generation == running_.number) {
    return done(absl::FailedPreconditionError(absl::StrCat("generation ", generation, " runs already")));
  }
  auto found = std::make_shared<absl::StatusOr<ReadableGeneration>>(ReadableGeneration{});
  loop_.RunBlocking([found, folder = folder(), generation] { *found = ReadGenerationOf(folder, generation); },
                    [this, found, wish, done = std::move(done), alive = alive_]() mutable {
                      if (!*alive) return;
                      if (!found->ok()) return done(found->status());
                      wish.yaml = (*found)->generation.yaml;
                      wish.config = (*found)->config;
                      Apply(std::move(wish), std::move(done));
                    });
}

bool ConfigController::NodeIsHealthy() {
  if (!node_->data_ready()) return false;
  for (const auto& [name, service] : node_->store().All<resource::v1::Service>()) {
    bool wanted = service.desired() != resource::v1::DESIRED_STATE_DOWN;  // an operator's choice is no illness
    if (wanted && !service.ready() && service.state() != resource::v1::SERVICE_STATE_FINISHED) return false;
  }
  return true;
}

void ConfigController::Judge() {
  // A trial proves nothing before it is confirmed, and in maintenance there is nothing to prove.
  if (config_ == nullptr || node_->config() != config_.get() || on_trial() || running_.source == "maintenance") return;
  const auto* apid = node_->store().Find<resource::v1::Service>("apid");
  bool up = apid != nullptr && apid->ready();
  absl::Duration now = Uptime(), next = absl::InfiniteDuration();
  auto holds = [&](Since& state, bool holds_now, absl::Duration long_enough) {
    if (!holds_now) state.since.reset();
    if (!holds_now || state.told) return false;
    if (!state.since.has_value()) state.since = now;
    if (now - *state.since >= long_enough) return state.told = true;
    next = std::min(next, long_enough - (now - *state.since));
    return false;
  };
  bool came_up = holds(up_, up, ConfigLedger::kUp);
  bool good = holds(healthy_, up && NodeIsHealthy(), ConfigLedger::kHealthy);
  if (came_up || good) {
    loop_.RunBlocking(
        [folder = folder(), key = ConfigLedger::Key(running_), boot = options_.boot_id, good] {
          absl::Status status = ConfigLedger::Update(folder, [&](ConfigLedger& ledger) {
            bool proven = ledger.counted == key && ledger.boot == boot && ledger.proven.insert(key).second;
            if (ledger.counted == key && ledger.boot == boot) {
              proven |= ledger.boots != 0;
              ledger.boots = 0;
            }
            return (good && ledger.good.insert(key).second) || proven;
          });
          if (!status.ok()) Log("error: ", status.message());
        },
        [] {});
  }
  if (next == absl::InfiniteDuration() || std::exchange(judging_, true)) return;
  loop_.After(next + absl::Milliseconds(5), [this, alive = alive_] {
    if (!*alive) return;
    judging_ = false;
    Judge();
  });
}

}  // namespace stele::machined
