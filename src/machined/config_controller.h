// Brings up the node's disk and its configuration, and changes the configuration when asked.
//
// At start, on a worker: seed → own disk → a reset that was asked for → state partition → the configuration, which runs
// from then on (so the API comes up while a disk is still being formatted) → data partition on /var. After a kill of
// machined the same steps find everything mounted and change nothing. What fails is shown on the volume
// or the config resource and tried again; meanwhile the API answers.
//
// A configuration runs from Run() on: for good, or on trial until its time is over, which is on the disk
// (config_store.h) before anything changes. What is told to the ledger: that the API has been up with it for a while,
// which ends the counting of boots, and that all of the node was healthy, which makes it the last good one. Owner
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/init_protocol.h"
#include "machined/config_plan.h"
#include "machined/config_source.h"
#include "machined/controller.h"
#include "machined/install/reset.h"
#include "machined/storage.h"
#include "services/service_set.h"

namespace stele::machined {

class ConfigController : public Controller {
 public:
  struct Options {
    StorageOptions storage;
    ConfigSources sources;
    std::string boot_id;
    // The image is on trial: boots that break are not counted against the configuration.
    bool image_on_trial = false;
    uint32_t crashes = 0;  // of machined in this boot
    // Booted from a medium: the disk that the loader came from is the medium, unless it has our partitions.
    bool from_memory = false;
    // Ends the machine, as a reset asks.
    std::function<void(init_protocol::EndAction, const std::string& reason)> end_machine;
  };
  // `facts` tells what services know besides, for plans.
  ConfigController(OwnerLoop& loop, std::function<services::Facts(Node&)> facts, Options options);
  ~ConfigController() override { *alive_ = false; }

  absl::string_view name() const override { return "config"; }
  std::vector<std::string> watches() const override { return {"services"}; }
  absl::Status Reconcile() override;

  // Begins to look for the configuration. May be called before the controllers are started: what is found is taken up
  // by a turn of the loop.
  void Look();

  // The running generation; number 0 and no source where there is none.
  const Generation& running() const { return running_; }
  // Its configuration; null where there is none.
  std::shared_ptr<const config::v1::MachineConfig> config() const { return config_; }
  // The node's own disk, once it is found; empty: it has none.
  const std::string& disk() const { return disk_; }
  // UNAVAILABLE until it is known what runs and where it is kept.
  absl::Status Known() const;
  // Where generations are kept: the state partition, or memory.
  const std::string& folder() const { return state_mounted_ ? options_.sources.state : options_.sources.memory; }

  static constexpr absl::Duration kTryTimeout = absl::Seconds(60);
  static constexpr absl::Duration kMinTryTimeout = absl::Seconds(5), kMaxTryTimeout = absl::Hours(1);

  enum class Mode { kNow, kNextBoot, kTry };
  // A configuration that somebody wants to run.
  struct Wish {
    std::string yaml;
    std::shared_ptr<const config::v1::MachineConfig> config;  // what it parsed as
    Mode mode = Mode::kNow;
    std::string caller;
    absl::Duration try_timeout = kTryTimeout;
    std::optional<uint64_t> if_generation = {};  // only if this one runs
    std::string source = "api";
    uint64_t repeats = 0;
  };
  struct Applied {
    uint64_t generation = 0;  // 0: staged, only planned, or a seed
    ConfigPlan plan;
    absl::Time deadline = absl::InfiniteFuture();  // of a trial
  };
  using Done = std::function<void(absl::StatusOr<Applied>)>;
  // What `config` would change.
  ConfigPlan Plan(const config::v1::MachineConfig& config);
  // Stores the configuration and runs it; `done` comes before anything changes. ABORTED while another one is being
  // stored and where another than `if_generation` runs, UNAVAILABLE while the node is still looking for its own,
  // FAILED_PRECONDITION while one is on trial.
  void Apply(Wish wish, Done done);
  // Keeps what is on trial, which must be `generation`.
  void Confirm(uint64_t generation, const std::string& caller, Done done);
  // Ends the trial (0), or runs `generation` again as a new one.
  void Revert(uint64_t generation, const std::string& caller, Done done);

 private:
  // What a worker found, by step.
  struct Search;
  struct Mounted;
  void OnFound(const Search& search);
  void OnMounted(const Mounted& mounted);
  void Adopt(LoadedConfig loaded);
  void Tell(const LoadedConfig& loaded);
  void Retry();
  void OnReset(const ResetWish& wish, const absl::Status& status);
  void PutVolume(const std::string& label, const VolumeStatus& volume);
  void PutConfigStatus();

  BootMoment Moment() const;
  // Not OK: why the configuration cannot be changed now.
  absl::Status MayChange() const;
  absl::Status MayApply(const Wish& wish) const;
  void BeginChange() {
    storing_ = true;
    ++changes_;
  }
  void EndChange() {
    storing_ = false;
    ++changes_;
  }
  bool on_trial() const { return running_.fate == Generation::Fate::kTrying; }
  // Makes it the running one; the rest of the node hears of it `delay` later, so that an answer comes first.
  void Run(Generation generation, std::shared_ptr<const config::v1::MachineConfig> config, absl::Duration delay);
  void ArmTrial();
  void OnTrialOver();
  // `message` says why; empty: its time is over. `done` may be null.
  void EndTrial(const std::string& message, Done done);
  // How the running generation fares, for the ledger.
  void Judge();
  bool NodeIsHealthy();

  OwnerLoop& loop_;
  std::function<services::Facts(Node&)> facts_;
  Options options_;
  enum class Step { kIdle, kAtWork, kDone } step_ = Step::kIdle;
  bool loaded_ = false;         // the first search is over
  bool state_mounted_ = false;  // generations go to the state partition
  bool storing_ = false;        // a change is being written
  uint64_t changes_ = 0;        // that began or ended: what was read before is old
  std::string message_;         // of the config resource
  std::string storage_error_;   // the last one told
  std::string disk_;
  absl::Status reset_failed_;  // not tried again in this boot: another Reset, or a reboot, is
  Generation running_;
  std::shared_ptr<const config::v1::MachineConfig> config_;
  uint64_t runs_ = 0;  // how often another one began to run
  // What ran before a trial, where the disk should not give it any more.
  Generation before_trial_;
  std::shared_ptr<const config::v1::MachineConfig> config_before_trial_;
  OwnerLoop::TimerId trial_timer_ = 0;
  std::string trial_folder_;  // that keeps it: the state partition may come later
  // Of the running generation: since when it holds (by Uptime), and whether the ledger was told.
  struct Since {
    std::optional<absl::Duration> since;
    bool told = false;
  };
  Since up_, healthy_;
  bool judging_ = false;  // a timer is set
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
