#include "machined/config_source.h"

#include "absl/time/clock.h"
#include "base/file.h"
#include "config/machine_config_check.h"

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

bool TryGenerations(const std::string& folder, const char* source, LoadedConfig* loaded) {
  for (Generation& generation : ConfigStore(folder).List(&loaded->warnings)) {
    std::string name = absl::StrCat("generation ", generation.number);
    generation.source = source;
    if (TryUse(std::move(generation), name, loaded)) return true;
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

}  // namespace

LoadedConfig LoadSeed(const ConfigSources& sources) {
  LoadedConfig loaded;
  TrySeed(sources, &loaded);
  return loaded;
}

LoadedConfig LoadConfig(const ConfigSources& sources, bool state_mounted, const std::string& boot_id) {
  LoadedConfig loaded;
  if (state_mounted) {
    absl::StatusOr<bool> promoted = ConfigStore(sources.state).PromoteStaged(boot_id, absl::Now());
    if (!promoted.ok()) loaded.warnings.emplace_back(promoted.status().message());
    if (TryGenerations(sources.state, "state", &loaded)) return loaded;
  }
  // What was applied before a disk came, or there is no disk: it holds for this boot.
  if (TryGenerations(sources.memory, "api", &loaded)) return loaded;
  TrySeed(sources, &loaded);
  return loaded;
}

}  // namespace stele::machined
