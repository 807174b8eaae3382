// Two texts as a unified diff.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace stele::config {

// Empty when they are equal; hunks with three lines around each change. Past `max_bytes` it ends with a line that says
// so. Texts that have nearly nothing in common (more than 1,000 lines differ) are told as one change: time and memory
// are bounded. Any thread.
std::string UnifiedDiff(absl::string_view before, absl::string_view after, absl::string_view before_name,
                        absl::string_view after_name, size_t max_bytes);

}  // namespace stele::config
