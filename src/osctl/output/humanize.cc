#include "osctl/output/humanize.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace stele::osctl {

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  auto wrong = [&] {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no duration: write 30s, 5m, 1h30m or 7d"));
  };
  absl::Duration days = absl::ZeroDuration();
  absl::string_view rest = text;
  if (size_t d = text.find('d'); d != absl::string_view::npos) {
    uint32_t count = 0;
    if (!absl::SimpleAtoi(text.substr(0, d), &count)) return wrong();
    days = absl::Hours(24) * count;
    rest = text.substr(d + 1);
    if (rest.empty()) return days;
  }
  absl::Duration duration;
  if (!absl::ParseDuration(rest, &duration) || duration < absl::ZeroDuration() ||
      duration == absl::InfiniteDuration()) {
    return wrong();
  }
  return days + duration;
}

absl::StatusOr<absl::Time> ParseTime(absl::string_view text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  if (absl::ParseTime("%Y-%m-%d", text, absl::UTCTimeZone(), &time, &error)) return time;
  absl::StatusOr<absl::Duration> ago = ParseDuration(text);
  if (ago.ok()) return now - *ago;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "' is no time: write a duration (5m) or RFC 3339 (2026-01-31T12:00:00Z)"));
}

absl::StatusOr<absl::Time> ParseFutureTime(absl::string_view text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (!text.empty() && text[0] == '+') {
    absl::StatusOr<absl::Duration> after = ParseDuration(text.substr(1));
    if (!after.ok()) return after.status();
    return now + *after;
  }
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "' is no time to come: write RFC 3339 (2026-01-31T12:00:00Z) or +DURATION (+90m)"));
  }
  if (time < now) return absl::OutOfRangeError(absl::StrCat(text, " is past"));
  return time;
}

absl::StatusOr<uint64_t> ParseBytes(absl::string_view text) {
  absl::string_view number = text;
  int shift = 0;
  for (absl::string_view unit : {"KiB", "MiB", "GiB", "TiB"}) {
    shift += 10;
    if (!absl::EndsWith(text, unit)) continue;
    number.remove_suffix(unit.size());
    break;
  }
  if (number.size() == text.size()) shift = 0;
  uint64_t value = 0;
  if (!absl::SimpleAtoi(number, &value) || value > (UINT64_MAX >> shift)) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is no number of bytes: write 4096, 64KiB or 1MiB"));
  }
  return value << shift;
}

std::string HumanDuration(absl::Duration duration) {
  if (duration < absl::ZeroDuration()) return absl::StrCat("-", HumanDuration(-duration));
  if (duration == absl::ZeroDuration()) return "0s";
  double seconds = absl::ToDoubleSeconds(duration);
  if (seconds < 0.9995e-6) return absl::StrFormat("%.0fns", seconds * 1e9);
  if (seconds < 0.9995e-3) return absl::StrFormat("%.3gµs", seconds * 1e6);
  if (seconds < 0.9995) return absl::StrFormat("%.3gms", seconds * 1e3);
  if (seconds < 10) return absl::StrFormat("%.4gs", seconds);
  int64_t whole = static_cast<int64_t>(std::llround(seconds));
  struct Unit {
    int64_t seconds;
    const char* name;
  };
  constexpr Unit kUnits[] = {{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}};
  for (int i = 0; i < 3; ++i) {
    if (whole < kUnits[i].seconds) continue;
    int64_t first = whole / kUnits[i].seconds;
    int64_t second = whole % kUnits[i].seconds / kUnits[i + 1].seconds;
    std::string text = absl::StrCat(first, kUnits[i].name);
    if (second != 0) absl::StrAppend(&text, second, kUnits[i + 1].name);
    return text;
  }
  return absl::StrCat(whole, "s");
}

std::string HumanAge(absl::Time time, absl::Time now) {
  absl::Duration age = absl::Trunc(now - time, absl::Seconds(1));
  return age < absl::ZeroDuration() ? absl::StrCat("in ", HumanDuration(-age)) : HumanDuration(age);
}

std::string HumanBytes(uint64_t bytes) {
  if (bytes < 1024) return absl::StrCat(bytes, "B");
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}) {
    // 1023.95 would be shown as 1024.0.
    if (value < 1023.95) break;
    value /= 1024;
    unit = next;
  }
  return absl::StrFormat(value < 99.95 ? "%.1f%s" : "%.0f%s", value, unit);
}

std::string Rfc3339(absl::Time time) { return absl::FormatTime("%Y-%m-%d%ET%H:%M:%SZ", time, absl::UTCTimeZone()); }

}  // namespace stele::osctl
