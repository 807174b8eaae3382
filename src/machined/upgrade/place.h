// Where the node's images are, and what runs: found once, when machined starts.
#pragma once

#include <string>

#include "machined/upgrade/esp_mount.h"

namespace stele::machined {

struct UpgradePlace {
  EspMount esp = EspMount::Folder("");
  std::string running_slot;   // a or b
  std::string running_device;
  std::string running_root_hash;  // hex, as on the kernel's command line
  std::string running_version;
  std::string architecture;  // as uname -m
  std::string entry;         // the loader's path of the UKI that runs, where it counted this boot
  bool trial = false;        // the loader counts this boot
  std::string other_slot;
  std::string other_device;
};

}  // namespace stele::machined
