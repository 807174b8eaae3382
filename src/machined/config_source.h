// Where a node's configuration comes from, in order: the newest generation that is whole and makes
// sense, what the hypervisor gives (fw_cfg), the file in the image. What was on trial and is not any more, and what
// broke its boots, is left here (docs/config.md, "When a configuration is bad").
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machined/config_ledger.h"
#include "machined/config_store.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::machined {

struct ConfigSources {
  std::string state = "/run/stele/state/config";  // on the state partition
  std::string memory = "/run/stele/config";       // of a node without one: until it reboots
  std::string fw_cfg = "/sys/firmware/qemu_fw_cfg/by_name/opt/stele/config/raw";
  std::string image = "/usr/share/stele/config.yaml";
};

// The boot that it is loaded in.
struct BootMoment {
  std::string id;
  absl::Duration age;  // since its start, by CLOCK_BOOTTIME
  // An image on trial may break its boots by itself: those are not the configuration's.
  bool image_on_trial = false;
  // How often machined crashed in it so far. So many count as a boot that broke: a configuration that brings machined
  // down again and again needs nobody who pulls the plug.
  uint32_t crashes = 0;
  static constexpr uint32_t kCrashesOfABoot = 3;
};

struct LoadedConfig {
  std::shared_ptr<const config::v1::MachineConfig> config;  // null: there is none that can be used
  Generation generation;
  std::vector<std::string> warnings;  // what was passed over or ignored, one line each
  std::vector<std::string> news;      // what was left for what, and why
  bool maintenance = false;           // every one broke its boots: keys and network alone
};

// The seed alone: what the node was given, whatever was applied since.
LoadedConfig LoadSeed(const ConfigSources& sources);

// What the node is to run with. `state_mounted`: whether sources.state is there. May be called again in the same boot.
LoadedConfig LoadConfig(const ConfigSources& sources, bool state_mounted, const BootMoment& moment);

}  // namespace stele::machined
