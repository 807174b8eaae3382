// Several logs as one: their lines in the order of their times, each with a mark that says whose it is.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "machined/log_source.h"

namespace stele::machined {

inline constexpr size_t kMaxMergedLogs = 16;

// Opens the log of that number from a cursor of its own, or, with an empty one, from where the reader wished.
using OpenPart = std::function<absl::StatusOr<std::unique_ptr<LogSource>>(size_t part, const std::string& cursor)>;

// A log that has nothing more now holds none of the others up: what comes later comes as it arrives. A cursor holds a
// place in each. INVALID_ARGUMENT for a cursor that is none of a merge of so many. One user at a time, on any thread.
absl::StatusOr<std::unique_ptr<LogSource>> MergeLogs(size_t parts, const std::string& cursor, const OpenPart& open);

}  // namespace stele::machined
