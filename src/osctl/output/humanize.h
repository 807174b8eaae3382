// Numbers and times as people read and write them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace stele::osctl {

// "250ms", "90s", "1h30m", "7d", "1d12h"; never negative.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);
// RFC 3339, a bare date, or a duration: that long before `now`.
absl::StatusOr<absl::Time> ParseTime(absl::string_view text, absl::Time now);
// RFC 3339, or "+" and a duration: that long after `now`. OUT_OF_RANGE when that is past.
absl::StatusOr<absl::Time> ParseFutureTime(absl::string_view text, absl::Time now);

// "4096", "64KiB", "1MiB", "2GiB", "1TiB".
absl::StatusOr<uint64_t> ParseBytes(absl::string_view text);

// At most two units: "0s", "1.52ms", "1.204s", "12s", "5m12s", "3h4m", "2d3h".
std::string HumanDuration(absl::Duration duration);
// How long ago: HumanDuration in whole seconds; "in 5s" for the future.
std::string HumanAge(absl::Time time, absl::Time now);
// "512B", "1.5MiB".
std::string HumanBytes(uint64_t bytes);
// 2026-01-31T12:00:00Z.
std::string Rfc3339(absl::Time time);

}  // namespace stele::osctl
