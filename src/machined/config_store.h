// Generations of the configuration in a folder: each a file, the newest one counts.
//
// A file is the YAML as it was applied, and behind it one line with number, source, time and a SHA-256 of
// all before it. It is written aside, flushed and renamed, so that a power cut leaves the generation
// before or the new one; a file whose line does not fit is passed over, and the one before it counts.
// A staged configuration becomes a generation at the first boot after the one it was staged in.
// Any thread, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

struct Generation {
  uint64_t number = 0;  // 0: none was ever applied
  std::string source;   // state, fw_cfg, image, api
  absl::Time applied;
  std::string yaml;
};

class ConfigStore {
 public:
  static constexpr size_t kKept = 10;

  explicit ConfigStore(std::string folder) : folder_(std::move(folder)) {}

  // Those that are whole, newest first. `passed_over` gets a line for each that is not.
  std::vector<Generation> List(std::vector<std::string>* passed_over) const;

  // Makes `yaml` the newest generation and forgets the oldest beyond kKept.
  absl::StatusOr<Generation> Save(const std::string& yaml, const std::string& source, absl::Time now);

  // Keeps `yaml` for the next boot; replaces one that is staged already.
  absl::Status Stage(const std::string& yaml, const std::string& boot_id, absl::Time now);
  // Makes what was staged in another boot the newest generation. True when there was such.
  absl::StatusOr<bool> PromoteStaged(const std::string& boot_id, absl::Time now);

 private:
  std::string folder_;
};

// SHA-256, hex.
std::string Sha256Hex(absl::string_view text);

}  // namespace stele::machined
