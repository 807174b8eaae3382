// Where what must outlive a reboot is kept: beside the configurations, on the state partition where there is one, else
// in memory.
#pragma once

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele::machined {

inline std::string FolderBeside(const std::string& configs, const char* name) {
  return absl::StrCat(configs.substr(0, configs.rfind('/') + 1), name);
}

inline bool OutlivesReboots(const std::string& path) { return absl::StartsWith(path, "/run/stele/state/"); }

}  // namespace stele::machined
