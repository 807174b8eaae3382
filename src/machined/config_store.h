// Generations of the configuration in a folder: each a file, the newest one counts.
//
// A file is the YAML as it was applied, and behind it one line with number, source, time and a SHA-256 of
// all before it. It is written aside, flushed and renamed, so that a power cut leaves the generation
// before or the new one; a file whose line does not fit is passed over, and the one before it counts.
//
//   generation-N.yaml  applied
//   try-N.yaml         on trial, or was and is not wanted: counts in the boot that it names, until its time is over
//   staged.yaml        becomes a generation at the first boot after the one it was staged in
//
// So a trial is armed by the very write that stores it: whatever happens next, a node that starts anew finds the
// generation before it, and only a confirmation, which writes generation-N, changes that.
// Any thread, one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/status.h"

namespace stele::machined {

struct Generation {
  enum class Fate : uint8_t {
    kApplied,
    kTrying,    // counts while `boot` goes on and its clock is before `until`
    kReverted,  // was on trial; `message` says why it was left
  };

  uint64_t number = 0;  // 0: none was ever applied
  std::string source;   // state, fw_cfg, image, maintenance; in a store api, install, revert, fallback
  absl::Time applied;
  std::string yaml;
  std::string by = {};   // who applied it; empty: the node
  uint64_t repeats = 0;  // the generation whose text it is again (revert, fallback); 0: none
  uint64_t left = 0;     // of a fallback: the generation that broke its boots; 0 a seed
  std::string message = {};
  Fate fate = Fate::kApplied;
  std::string boot = {};                          // of a trial
  absl::Duration until = absl::ZeroDuration();    // since that boot's start, so that no step of the clock moves it
  absl::Duration timeout = absl::ZeroDuration();  // of which this is the end
};

class ConfigStore {
 public:
  static constexpr size_t kKept = 10;       // generations
  static constexpr size_t kKeptTrials = 5;  // that were left

  explicit ConfigStore(std::string folder) : folder_(std::move(folder)) {}

  // Those that are whole, newest first. `passed_over` gets a line for each that is not.
  std::vector<Generation> List(std::vector<std::string>* passed_over) const;

  // Makes `yaml` the newest generation and forgets the oldest beyond kKept, save `protect`.
  absl::StatusOr<Generation> Save(const std::string& yaml, const std::string& source, absl::Time now,
                                  const std::string& by = "");
  // The same of `generation`, which gets its number.
  absl::StatusOr<Generation> Save(Generation generation);
  // Never forgotten, however old: the last good one.
  void Protect(uint64_t number) { protected_ = number; }

  // Stores `generation`, with its boot and until, as one on trial; it gets its number.
  absl::StatusOr<Generation> Try(Generation generation);
  // Makes the one on trial an applied one. NOT_FOUND: it is none.
  absl::StatusOr<Generation> Confirm(uint64_t number);
  // Ends its trial. NOT_FOUND: it is none.
  absl::Status Revert(uint64_t number, const std::string& message);

  // Keeps `yaml` for the next boot; replaces one that is staged already.
  absl::Status Stage(const std::string& yaml, const std::string& boot_id, absl::Time now, const std::string& by = "");
  // What is staged, as a generation without a number; nothing where that is not whole.
  std::optional<Generation> Staged() const;
  // Makes what was staged in another boot the newest generation. True when there was such.
  absl::StatusOr<bool> PromoteStaged(const std::string& boot_id, absl::Time now);

 private:
  absl::StatusOr<Generation> ReadTrial(uint64_t number) const;
  void Forget(const std::string& prefix, size_t kept);

  std::string folder_;
  uint64_t protected_ = 0;
};

// SHA-256, hex.
std::string Sha256Hex(absl::string_view text);

// A text with facts about it in its last line, under a checksum. Facts are words: spaces and the like are escaped.
using Facts = std::map<std::string, std::string>;
std::string Seal(absl::string_view text, const Facts& facts);
// Takes a sealed text apart; false when it is not whole.
bool Unseal(const std::string& sealed, std::string* text, Facts* facts);

}  // namespace stele::machined
