#include "machined/config_controller.h"

#include "absl/time/clock.h"
#include "machined/install/grow.h"
#include "machined/log.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(15);
// The config waits for the disk that may hold its newest generation, but not for long.
constexpr absl::Duration kFirstDiskWait = absl::Seconds(3);
constexpr char kMaintenance[] =
    "no configuration: give one by fw_cfg (opt/stele/config) or in the image; the API needs its keys";

VolumeStatus NotReady(const absl::Status& why, const std::string& target) {
  VolumeStatus volume;
  volume.set_target(target);
  volume.set_message(std::string(why.message()));
  return volume;
}

}  // namespace

struct ConfigController::Search {
  uint64_t changes = 0;  // before it
  LoadedConfig loaded;
  std::optional<ResetWish> reset;  // that was carried out, or tried to
  absl::Status reset_status;
  absl::StatusOr<VolumeStatus> state = absl::NotFoundError("");
};

struct ConfigController::Mounted {
  uint64_t changes = 0;  // before it
  std::string disk;
  std::optional<ResetWish> reset;
  absl::Status reset_status;
  absl::Status grown;  // what kept the disk from being used to its end
  absl::StatusOr<VolumeStatus> state = absl::NotFoundError("");
  absl::StatusOr<VolumeStatus> data = absl::NotFoundError("");
  LoadedConfig loaded;  // again, with the state partition of a disk that came late
};

namespace {

// The disk that `configured` names; without one the disk we came from. NOT_FOUND for the medium of a node that runs
// from memory: it holds no partition of ours, and is not for us to write to.
absl::StatusOr<std::string> OwnDisk(const std::string& configured, const StorageOptions& options, bool from_memory) {
  absl::StatusOr<std::string> disk = FindOwnDisk(configured, options);
  if (!from_memory || !configured.empty()) return disk;
  if (disk.status().code() == absl::StatusCode::kUnavailable) return absl::NotFoundError(disk.status().message());
  RETURN_IF_ERROR(disk.status());
  ASSIGN_OR_RETURN(DiskContents contents, ProbeDisk(*disk));
  if (FindPartition(contents, kDataLabel) == nullptr) return absl::NotFoundError(absl::StrCat(*disk, " is the medium"));
  return disk;
}

std::string ConfiguredDisk(const LoadedConfig& loaded) {
  return loaded.config == nullptr ? "" : loaded.config->storage().disk();
}

bool AsksForState(const std::string& disk) {
  absl::StatusOr<std::optional<ResetWish>> wish = ReadResetWish(disk);
  return wish.ok() && wish->has_value() && (*wish)->request.state();
}

// Before anything of the disk is mounted.
void CarryOut(const std::string& disk, const StorageOptions& options,
              const std::function<void(const std::string&)>& progress, std::optional<ResetWish>* reset,
              absl::Status* status) {
  absl::StatusOr<std::optional<ResetWish>> wish = ReadResetWish(disk);
  *status = wish.status();
  if (!wish.ok() || !wish->has_value()) return;
  *reset = **wish;
  *status = CarryOutReset(disk, **wish, options, progress);
}

// To the end of a larger disk, before and after it is mounted.
absl::Status GrowTable(const std::string& disk, const std::function<void(const std::string&)>& progress) {
  absl::StatusOr<bool> grew = GrowDataPartition(disk);
  // Not ours to grow, or nothing there yet: told by what follows, where it matters.
  if (grew.status().code() == absl::StatusCode::kFailedPrecondition) return absl::OkStatus();
  if (grew.ok() && *grew) progress(absl::StrCat("the disk is larger than its table: ", kDataLabel, " takes the rest"));
  return grew.status();
}

absl::Status GrowMounted(VolumeStatus* volume, const std::string& mount) {
  if (volume->fstype() != "ext4") return absl::OkStatus();
  return GrowFilesystem(volume->device(), mount).status();
}

}  // namespace

ConfigController::ConfigController(OwnerLoop& loop, std::function<services::Facts(Node&)> facts, Options options)
    : loop_(loop), facts_(std::move(facts)), options_(std::move(options)) {}

absl::Status ConfigController::Reconcile() {
  Look();
  Judge();
  return absl::OkStatus();
}

void ConfigController::Look() {
  if (step_ != Step::kIdle) return;
  step_ = Step::kAtWork;
  if (storing_) return Retry();  // the folder is being written
  auto search = std::make_shared<Search>();
  search->changes = changes_;
  auto progress = [this, loop = &loop_, alive = alive_](const std::string& line) {
    loop->Post([this, alive, line] {
      if (*alive) node_->Emit("storage", "reset", line, machine::v1::SEVERITY_WARNING);
    });
  };
  loop_.RunBlocking(
      [search, progress, options = options_, moment = Moment(), reset_failed = reset_failed_] {
        StorageOptions storage = options.storage;
        storage.disk_wait = std::min(storage.disk_wait, kFirstDiskWait);
        absl::StatusOr<std::string> disk =
            OwnDisk(ConfiguredDisk(LoadSeed(options.sources)), storage, options.from_memory);
        if (disk.ok()) {
          absl::StatusOr<UniqueFd> lock = LockDisk(*disk);
          // A wish that is about data alone may take long: it waits until the configuration is known and the API is up.
          if (lock.ok() && reset_failed.ok() && AsksForState(*disk)) {
            CarryOut(*disk, storage, progress, &search->reset, &search->reset_status);
          }
          search->state = lock.ok() ? MountState(*disk, storage) : lock.status();
        }
        search->loaded = LoadConfig(options.sources, search->state.ok(), moment);
      },
      [this, search, alive = alive_] {
        if (*alive) OnFound(*search);
      });
}

void ConfigController::OnFound(const Search& search) {
  if (search.reset.has_value()) OnReset(*search.reset, search.reset_status);
  loaded_ = true;
  state_mounted_ = search.state.ok();
  if (search.state.ok()) PutVolume(kStateLabel, *search.state);
  if (search.changes == changes_) Adopt(search.loaded);
  auto mounted = std::make_shared<Mounted>();
  mounted->changes = changes_;
  auto progress = [this, loop = &loop_, alive = alive_](const std::string& line) {
    loop->Post([this, alive, line] {
      if (!*alive) return;
      node_->Emit("storage", kDataLabel, line);
      PutVolume(kDataLabel, NotReady(absl::UnavailableError(line), options_.storage.data_target));
    });
  };
  std::string disk_named = node_->config() == nullptr ? "" : node_->config()->storage().disk();
  loop_.RunBlocking(
      [mounted, progress, disk_named, options = options_, moment = Moment(), reset_failed = reset_failed_] {
        absl::StatusOr<std::string> disk = OwnDisk(disk_named, options.storage, options.from_memory);
        if (disk.status().code() == absl::StatusCode::kNotFound) {  // nobody said that there is one
          mounted->data = MountDataInMemory(options.storage);
          return;
        }
        absl::StatusOr<UniqueFd> lock = disk.ok() ? LockDisk(*disk) : absl::StatusOr<UniqueFd>(disk.status());
        if (!lock.ok()) {
          mounted->data = lock.status();
          return;
        }
        mounted->disk = *disk;
        mounted->reset_status = reset_failed;
        if (reset_failed.ok()) CarryOut(*disk, options.storage, progress, &mounted->reset, &mounted->reset_status);
        if (!mounted->reset_status.ok()) {
          mounted->data = mounted->reset_status;  // never used before what was to be forgotten is
          return;
        }
        mounted->grown = GrowTable(*disk, progress);
        absl::Status prepared = PrepareDisk(*disk, options.storage, progress);
        mounted->state = MountState(*disk, options.storage);
        mounted->data = prepared.ok() ? MountData(*disk, options.storage) : prepared;
        if (mounted->data.ok() && mounted->grown.ok()) {
          mounted->grown = GrowMounted(&*mounted->data, options.storage.root + options.storage.data_target);
        }
        if (mounted->state.ok()) mounted->loaded = LoadConfig(options.sources, true, moment);
      },
      [this, mounted, alive = alive_] {
        if (*alive) OnMounted(*mounted);
      });
}

void ConfigController::OnReset(const ResetWish& wish, const absl::Status& status) {
  std::string asked = absl::StrCat("reset, asked by ", wish.asked_by);
  if (!status.ok()) {
    reset_failed_ = status;
    node_->Emit("storage", "reset", status.message(), machine::v1::SEVERITY_ERROR);
    // It was asked for in this boot, and a machined that was killed did not come to the reboot.
    bool in_use = status.code() == absl::StatusCode::kFailedPrecondition;
    if (in_use && options_.end_machine) options_.end_machine(init_protocol::EndAction::kReboot, asked);
    return;
  }
  node_->Emit("storage", "reset", absl::StrCat(asked, ": done"), machine::v1::SEVERITY_WARNING);
  if (wish.request.then() == machine::v1::RESET_END_POWER_OFF && options_.end_machine) {
    options_.end_machine(init_protocol::EndAction::kPowerOff, asked);
  }
}

void ConfigController::OnMounted(const Mounted& mounted) {
  disk_ = mounted.disk;
  if (mounted.reset.has_value()) OnReset(*mounted.reset, mounted.reset_status);
  if (!mounted.grown.ok()) node_->Emit("storage", kDataLabel, mounted.grown.message(), machine::v1::SEVERITY_WARNING);
  if (mounted.state.ok()) {
    PutVolume(kStateLabel, *mounted.state);
    state_mounted_ = true;
    // The disk came late, and knows better than the seed.
    if (mounted.changes == changes_ && mounted.loaded.generation.source == "state" && running_.source != "state" &&
        running_.source != "api")
      Adopt(mounted.loaded);
  } else if (!mounted.disk.empty()) {
    PutVolume(kStateLabel, NotReady(mounted.state.status(), options_.storage.state_target));
  }
  if (!mounted.data.ok()) {
    PutVolume(kDataLabel, NotReady(mounted.data.status(), options_.storage.data_target));
    // Tried again for as long as it takes, told once.
    std::string error(mounted.data.status().message());
    if (error != storage_error_) {
      node_->Emit("storage", kDataLabel, error, machine::v1::SEVERITY_ERROR);
      storage_error_ = error;
    }
    return Retry();
  }
  step_ = Step::kDone;
  if (mounted.data->fstype() == "tmpfs") {
    node_->Emit("storage", kDataLabel, "/var is in memory and lost at reboot: the node has no disk of its own",
                machine::v1::SEVERITY_WARNING);
  }
  PutVolume(kDataLabel, *mounted.data);
  node_->SetDataReady(true);
}

void ConfigController::Retry() {
  loop_.After(kRetry, [this, alive = alive_] {
    if (!*alive) return;
    step_ = Step::kIdle;
    Wake();
  });
}

void ConfigController::Tell(const LoadedConfig& loaded) {
  for (const std::string& warning : loaded.warnings) {
    node_->Emit("config", "running", warning, machine::v1::SEVERITY_WARNING);
  }
  for (const std::string& line : loaded.news) {
    // An error, so that the console shows it: without its workload the node needs somebody.
    node_->Emit("config", "running", line,
                loaded.maintenance ? machine::v1::SEVERITY_ERROR : machine::v1::SEVERITY_WARNING);
  }
}

void ConfigController::Adopt(LoadedConfig loaded) {
  Tell(loaded);
  std::string told = std::exchange(message_, loaded.warnings.empty() ? "" : loaded.warnings.front());
  if (loaded.config == nullptr) {
    if (node_->config() == nullptr) {
      message_ = loaded.warnings.empty() ? kMaintenance : absl::StrCat("no configuration that can be used: ", message_);
      // An error, so that the console shows it: without keys there is no other way to ask the node.
      if (message_ != told) node_->Emit("config", "running", message_, machine::v1::SEVERITY_ERROR);
      PutConfigStatus();
    }
    return;
  }
  if (loaded.maintenance) message_ = loaded.news.back();
  if (!loaded.generation.message.empty()) message_ = loaded.generation.message;  // a fallback's
  bool same = running_.number == loaded.generation.number && running_.yaml == loaded.generation.yaml;
  if (same) {
    running_ = std::move(loaded.generation);
    return PutConfigStatus();
  }
  node_->Emit("config", "running",
              absl::StrCat("configuration from ", loaded.generation.source, ", generation ", loaded.generation.number));
  Run(std::move(loaded.generation), std::move(loaded.config), absl::ZeroDuration());
}

BootMoment ConfigController::Moment() const {
  return {options_.boot_id, Uptime(), options_.image_on_trial, options_.crashes};
}

void ConfigController::Run(Generation generation, std::shared_ptr<const config::v1::MachineConfig> config,
                           absl::Duration delay) {
  running_ = std::move(generation);
  config_ = std::move(config);
  up_ = healthy_ = {};
  ArmTrial();
  PutConfigStatus();
  uint64_t run = ++runs_;
  if (delay == absl::ZeroDuration()) return node_->SetConfig(config_);
  loop_.After(delay, [this, run, alive = alive_] {
    if (*alive && runs_ == run) node_->SetConfig(config_);
  });
}

ConfigPlan ConfigController::Plan(const config::v1::MachineConfig& config) {
  return PlanChange(node_->config(), config, facts_(*node_));
}

void ConfigController::PutVolume(const std::string& label, const VolumeStatus& volume) {
  if (absl::Status status = node_->store().Put(name(), label, volume); !status.ok()) Log("error: ", status.message());
}

void ConfigController::PutConfigStatus() {
  resource::v1::ConfigStatus body;
  body.set_generation(running_.number);
  body.set_source(running_.source);
  if (!running_.yaml.empty()) body.set_sha256(Sha256Hex(running_.yaml));
  std::string trial;
  if (on_trial()) {
    trial = absl::StrCat("on trial for ", absl::FormatDuration(running_.timeout), ": `osctl config confirm ",
                         running_.number, "` keeps it");
  }
  body.set_message(trial.empty() ? message_ : trial);
  if (absl::Status status = node_->store().Put(name(), "running", body); !status.ok()) Log("error: ", status.message());
}

}  // namespace stele::machined
