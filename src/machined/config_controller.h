// Brings up the node's disk and its configuration, and changes the configuration when asked.
//
// At start, on a worker: seed → own disk → a reset that was asked for → state partition → the configuration, which runs
// from then on (so the API comes up while a disk is still being formatted) → data partition on /var. After a kill of
// machined the same steps find everything mounted and change nothing. What fails is shown on the volume
// or the config resource and tried again; meanwhile the API answers.
// Owner thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/init_protocol.h"
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
    // Booted from a medium: the disk that the loader came from is the medium, unless it has our partitions.
    bool from_memory = false;
    // Ends the machine, as a reset asks.
    std::function<void(init_protocol::EndAction, const std::string& reason)> end_machine;
  };
  // `facts` tells what services know besides, for plans.
  ConfigController(OwnerLoop& loop, std::function<services::Facts(Node&)> facts, Options options);
  ~ConfigController() override { *alive_ = false; }

  absl::string_view name() const override { return "config"; }
  std::vector<std::string> watches() const override { return {}; }
  absl::Status Reconcile() override;

  // Begins to look for the configuration. May be called before the controllers are started: what is found is taken up
  // by a turn of the loop.
  void Look();

  // The running generation; number 0 and no source where there is none.
  const Generation& running() const { return running_; }
  // The node's own disk, once it is found; empty: it has none.
  const std::string& disk() const { return disk_; }

  enum class Mode { kNow, kNextBoot };
  struct Applied {
    uint64_t generation = 0;  // 0: staged, or only planned
    std::vector<std::string> plan;
  };
  using Done = std::function<void(absl::StatusOr<Applied>)>;
  // What `config` would change.
  std::vector<std::string> Plan(const config::v1::MachineConfig& config);
  // Stores `yaml`, which parsed as `config`, and runs it. ABORTED while another one is being stored,
  // UNAVAILABLE while the node is still looking for its own.
  void Apply(std::string yaml, std::shared_ptr<const config::v1::MachineConfig> config, Mode mode,
             const std::string& caller, Done done);

 private:
  // What a worker found, by step.
  struct Search;
  struct Mounted;
  void OnFound(const Search& search);
  void OnMounted(const Mounted& mounted);
  void Adopt(LoadedConfig loaded);
  void Retry();
  void OnReset(const ResetWish& wish, const absl::Status& status);
  void PutVolume(const std::string& label, const VolumeStatus& volume);
  void PutConfigStatus();

  OwnerLoop& loop_;
  std::function<services::Facts(Node&)> facts_;
  Options options_;
  enum class Step { kIdle, kAtWork, kDone } step_ = Step::kIdle;
  bool loaded_ = false;         // the first search is over
  bool state_mounted_ = false;  // generations go to the state partition
  bool storing_ = false;        // an Apply is being written
  std::string message_;         // of the config resource
  std::string storage_error_;   // the last one told
  std::string disk_;
  absl::Status reset_failed_;  // not tried again in this boot: another Reset, or a reboot, is
  Generation running_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
