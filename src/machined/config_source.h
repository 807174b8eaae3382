// Where a node's configuration comes from, in order: the newest generation that is whole and makes
// sense, what the hypervisor gives (fw_cfg), the file in the image.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machined/config_store.h"
#include "stele/config/v1/machine_config.pb.h"

namespace stele::machined {

struct ConfigSources {
  std::string state = "/run/stele/state/config";  // on the state partition
  std::string memory = "/run/stele/config";       // of a node without one: until it reboots
  std::string fw_cfg = "/sys/firmware/qemu_fw_cfg/by_name/opt/stele/config/raw";
  std::string image = "/usr/share/stele/config.yaml";
};

struct LoadedConfig {
  std::shared_ptr<const config::v1::MachineConfig> config;  // null: there is none that can be used
  Generation generation;
  std::vector<std::string> warnings;  // what was passed over or ignored, one line each
};

// The seed alone: what the node was given, whatever was applied since.
LoadedConfig LoadSeed(const ConfigSources& sources);

// What the node is to run with. `state_mounted`: whether sources.state is there.
LoadedConfig LoadConfig(const ConfigSources& sources, bool state_mounted, const std::string& boot_id);

}  // namespace stele::machined
