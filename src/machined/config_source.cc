#include "machined/config_source.h"

#include <algorithm>
#include <optional>

#include "absl/time/clock.h"
#include "base/file.h"
#include "config/machine_config_check.h"
#include "config/proto_to_yaml.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxConfig = 1 << 20;

// True when `generation` can be used. Keys of a newer version are ignored: a node that went back must boot.
bool TryUse(Generation generation, const std::string& name, LoadedConfig* loaded) {
  config::ParsedMachineConfig parsed = config::ParseMachineConfig(generation.yaml, {.tolerate_unknown_keys = true});
  for (const config::Problem& warning : parsed.warnings) {
    loaded->warnings.push_back(absl::StrCat(name, ":", config::ToString(warning)));
  }
  for (const config::Problem& problem : parsed.problems) {
    loaded->warnings.push_back(absl::StrCat(name, ":", config::ToString(problem)));
  }
  if (parsed.config == nullptr) return false;
  loaded->config = std::move(parsed.config);
  loaded->generation = std::move(generation);
  return true;
}

// Trials of another boot, or whose time is over, are over: written down, and they do not count even where that fails.
void EndTrials(const std::string& folder, const BootMoment& moment, std::vector<Generation>* generations,
               LoadedConfig* loaded) {
  for (Generation& generation : *generations) {
    if (generation.fate != Generation::Fate::kTrying) continue;
    bool same_boot = generation.boot == moment.id;
    if (same_boot && moment.age < generation.until) continue;
    std::string why = same_boot ? absl::StrCat("was not confirmed within ", absl::FormatDuration(generation.timeout))
                                : "was on trial when the node restarted";
    generation.fate = Generation::Fate::kReverted;
    loaded->news.push_back(absl::StrCat("generation ", generation.number, " ", why, ": the one before it is back"));
    absl::Status status = ConfigStore(folder).Revert(generation.number, why);
    if (!status.ok()) loaded->warnings.emplace_back(status.message());
  }
}

// The newest that counts and can be used.
bool TryGenerations(const std::vector<Generation>& generations, const char* source, LoadedConfig* loaded) {
  for (const Generation& generation : generations) {
    if (generation.fate == Generation::Fate::kReverted) continue;
    if (!TryUse(generation, absl::StrCat("generation ", generation.number), loaded)) continue;
    loaded->generation.source = source;
    return true;
  }
  return false;
}

bool TryFile(const std::string& path, const char* source, LoadedConfig* loaded) {
  absl::StatusOr<std::string> yaml = ReadFile(path, kMaxConfig);
  if (!yaml.ok()) {
    if (yaml.status().code() != absl::StatusCode::kNotFound) loaded->warnings.emplace_back(yaml.status().message());
    return false;
  }
  return TryUse({.source = source, .applied = absl::Now(), .yaml = *std::move(yaml)}, source, loaded);
}

bool TrySeed(const ConfigSources& sources, LoadedConfig* loaded) {
  return TryFile(sources.fw_cfg, "fw_cfg", loaded) || TryFile(sources.image, "image", loaded);
}

// What the node went back to before `bad`, which broke its boots: the newest good one of another text, else the seed.
std::optional<Generation> FindFallback(const ConfigSources& sources, const std::vector<Generation>& generations,
                                       const ConfigLedger& ledger, const Generation& bad) {
  for (const Generation& generation : generations) {
    LoadedConfig usable;
    bool candidate =
        generation.fate == Generation::Fate::kApplied && ledger.IsGood(generation) && generation.yaml != bad.yaml;
    if (candidate && TryUse(generation, "", &usable)) return generation;
  }
  LoadedConfig seed = LoadSeed(sources);
  if (seed.config != nullptr && seed.generation.yaml != bad.yaml) return seed.generation;
  return std::nullopt;
}

bool IsFallback(const std::vector<Generation>& generations, uint64_t number) {
  return std::any_of(generations.begin(), generations.end(), [number](const Generation& generation) {
    return generation.number == number && generation.source == "fallback";
  });
}

// The keys of the API alone; of a fallback, which was good once, its network and disk too. Without a network every link
// with a carrier asks DHCP.
void EnterMaintenance(bool was_good, LoadedConfig* loaded) {
  auto config = std::make_shared<config::v1::MachineConfig>();
  config->set_api_version(loaded->config->api_version());
  config->set_kind(loaded->config->kind());
  *config->mutable_api() = loaded->config->api();
  if (was_good && loaded->config->has_network()) *config->mutable_network() = loaded->config->network();
  if (was_good && loaded->config->has_storage()) *config->mutable_storage() = loaded->config->storage();
  loaded->news.push_back(absl::StrCat("maintenance mode: generation ", loaded->generation.number, " broke ",
                                      ConfigLedger::kMaxBoots,
                                      " boots in a row and there is none to go back to: apply another one"));
  loaded->generation = {.source = "maintenance", .applied = loaded->generation.applied};
  loaded->generation.yaml = config::ProtoToYaml(*config, config::Secrets::kPrinted);
  loaded->config = std::move(config);
  loaded->maintenance = true;
}

// Counts this boot against what it begins with, before that is used, and leaves what broke too many.
void CountBoot(const ConfigSources& sources, const std::string& folder, const BootMoment& moment,
               const std::vector<Generation>& generations, LoadedConfig* loaded) {
  if (loaded->config == nullptr || loaded->generation.fate == Generation::Fate::kTrying) return;
  bool maintenance = false;
  const bool is_fallback = IsFallback(generations, loaded->generation.number);
  absl::Status status = ConfigLedger::Update(folder, [&](ConfigLedger& ledger) {
    std::string key = ConfigLedger::Key(loaded->generation);
    // What is new since the last look: another boot, or crashes that make one.
    uint32_t crashed = moment.crashes / BootMoment::kCrashesOfABoot;
    bool same_boot = ledger.boot == moment.id;
    uint32_t broken = same_boot ? crashed - std::min(crashed, ledger.crashed) : 1 + crashed;
    if (broken == 0) {
      maintenance = ledger.counted == key && ledger.boots > ConfigLedger::kMaxBoots;
      return false;
    }
    bool count = ledger.proven.count(key) == 0 && !moment.image_on_trial;
    // Nothing that matters: no write at every boot.
    if (!count && ledger.counted == key && ledger.boots == 0 && crashed == 0) return false;
    ledger.boot = moment.id;
    ledger.crashed = crashed;
    // An image's trial leaves the count as it is: neither more nor, since nothing was proven, less.
    if (count || ledger.counted != key)
      ledger.boots = (ledger.counted == key ? ledger.boots : 0) + (count ? broken : 0);
    ledger.counted = key;
    if (ledger.boots <= ConfigLedger::kMaxBoots) return true;
    const Generation bad = loaded->generation;
    std::optional<Generation> fallback;
    // One fallback of a kind: when that breaks its boots too, others would only take longer.
    if (!is_fallback) fallback = FindFallback(sources, generations, ledger, bad);
    std::string why =
        absl::StrCat("generation ", bad.number, " broke ", ConfigLedger::kMaxBoots,
                     " boots in a row: the API was never up for ", absl::FormatDuration(ConfigLedger::kUp));
    if (!fallback.has_value()) {
      maintenance = true;
      return true;
    }
    ConfigStore store(folder);
    store.Protect(fallback->number);
    uint64_t number = fallback->number;
    fallback->source = "fallback";
    fallback->applied = absl::Now();
    fallback->by.clear();
    fallback->repeats = number;
    fallback->left = bad.number;
    fallback->message = why;
    absl::StatusOr<Generation> saved = store.Save(*fallback);
    // Not stored: the same is tried at the next boot, and this one runs with it all the same.
    if (!saved.ok()) loaded->warnings.emplace_back(saved.status().message());
    LoadedConfig back;
    if (!TryUse(saved.ok() ? *saved : *fallback, "fallback", &back)) return true;
    // Where it is kept; in memory it gives way to the state partition, as a seed does.
    back.generation.source = bad.number == 0 && folder == sources.state ? "state" : bad.source;
    loaded->config = back.config;
    loaded->generation = back.generation;
    loaded->news.push_back(absl::StrCat(
        why, "; the node goes back to ",
        number == 0 ? std::string("its seed") : absl::StrCat("generation ", number, ", the last good one")));
    if (!saved.ok()) return true;
    ledger.counted = ConfigLedger::Key(*saved);
    ledger.boots = 1;
    return true;
  });
  if (!status.ok()) loaded->warnings.emplace_back(status.message());
  if (maintenance) EnterMaintenance(is_fallback, loaded);
}

}  // namespace

LoadedConfig LoadSeed(const ConfigSources& sources) {
  LoadedConfig loaded;
  TrySeed(sources, &loaded);
  return loaded;
}

LoadedConfig LoadConfig(const ConfigSources& sources, bool state_mounted, const BootMoment& moment) {
  LoadedConfig loaded;
  const std::string& folder = state_mounted ? sources.state : sources.memory;
  if (state_mounted) {
    absl::StatusOr<bool> promoted = OpenConfigStore(folder).PromoteStaged(moment.id, absl::Now());
    if (!promoted.ok()) loaded.warnings.emplace_back(promoted.status().message());
  }
  std::vector<Generation> generations = ConfigStore(folder).List(&loaded.warnings);
  EndTrials(folder, moment, &generations, &loaded);
  bool found = TryGenerations(generations, state_mounted ? "state" : "api", &loaded);
  if (!found && state_mounted) {
    // What was applied before the disk came: it holds for this boot.
    std::vector<Generation> applied = ConfigStore(sources.memory).List(&loaded.warnings);
    EndTrials(sources.memory, moment, &applied, &loaded);
    found = TryGenerations(applied, "api", &loaded);
    if (found) return loaded;  // of this boot alone: nothing to count
  }
  if (!found) TrySeed(sources, &loaded);
  CountBoot(sources, folder, moment, generations, &loaded);
  return loaded;
}

}  // namespace stele::machined
