// "Did you mean": the known word that a mistyped one is nearest to.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::osctl {

// How many letters must be added, taken away, changed or swapped with their neighbour. Upper case counts as lower.
size_t EditDistance(absl::string_view a, absl::string_view b);

// The nearest of `known`; of several equally near ones the first. Empty: none is so near that it was meant.
std::string Nearest(absl::string_view word, const std::vector<std::string>& known);

// "; did you mean 'x'?", or nothing.
std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known);

}  // namespace stele::osctl
