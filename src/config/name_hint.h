// "did you mean": the known name nearest to a mistyped one.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::config {

// The one of `names` that is at most a third of its letters (at least one, at most three) away from
// `name` in insertions, deletions, exchanges and swaps of neighbours, case apart; empty when none is.
std::string NearestName(absl::string_view name, const std::vector<std::string>& names);

}  // namespace stele::config
