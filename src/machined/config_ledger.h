// What became of the generations that this node booted with: one small file beside them, old or new after a power cut.
//
// A boot that begins with a generation is counted before the generation is used, and the count is cleared once the API
// has been up with it for kUp. A generation that came up at a boot is proven and not counted again: what breaks later
// boots is the power, the hardware or an image (whose own tries are counted apart, by the boot loader), and a node
// shall not lose a good configuration to those. One with which the whole node was healthy for kHealthy is good: the
// newest of them is the last good one. A ledger that is lost or torn means that nothing is known: nothing is proven,
// good or counted.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "base/status.h"
#include "machined/config_store.h"

namespace stele::machined {

struct ConfigLedger {
  static constexpr uint32_t kMaxBoots = 3;  // in a row that a generation may break
  static constexpr absl::Duration kUp = absl::Seconds(10);
  static constexpr absl::Duration kHealthy = absl::Seconds(10);

  std::string counted;   // the key of the generation that the last boot began with
  uint32_t boots = 0;    // how many boots in a row began with it and did not come up
  std::string boot;      // the last one
  uint32_t crashed = 0;  // how many of the counted ones were crashes of machined in that boot
  std::set<std::string> proven, good;

  // Names a generation, or a seed: its number and the beginning of its text's SHA-256, so that another seed, or a
  // number that was given again after a reset, is another one.
  static std::string Key(const Generation& generation);
  // 0: a seed.
  static uint64_t NumberOf(const std::string& key);

  bool IsGood(const Generation& generation) const { return good.count(Key(generation)) != 0; }
  // The highest number in `good`; 0: none.
  uint64_t LastGood() const;

  static ConfigLedger Load(const std::string& folder);
  absl::Status Save(const std::string& folder) const;
  // Loads, changes and, where `change` says that there is something new, saves. One at a time; any thread.
  static absl::Status Update(const std::string& folder, const std::function<bool(ConfigLedger&)>& change);
};

// The folder's generations, of which the last good one is never forgotten.
ConfigStore OpenConfigStore(const std::string& folder);

}  // namespace stele::machined
