#include "init/command_line.h"

#include "base/file.h"

namespace stele::init {
namespace {

constexpr uint64_t kMaxBlocks = uint64_t{1} << 40;  // 4 PiB: no sum overflows
constexpr uint64_t kMaxTrialSeconds = 86'400;
constexpr size_t kMaxSaltDigits = 64;

bool IsHex(absl::string_view text) { return text.find_first_not_of("0123456789abcdef") == absl::string_view::npos; }

// A number of digits alone from `least` to `most`; false for anything else.
bool ParseBounded(absl::string_view text, uint64_t least, uint64_t most, uint64_t& number) {
  if (text.empty() || text.size() > 18) return false;
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value < least || value > most) return false;
  number = value;
  return true;
}

}  // namespace

absl::StatusOr<RootVerity> ParseRootVerity(absl::string_view value) {
  size_t first = value.find(':');
  size_t second = first == absl::string_view::npos ? first : value.find(':', first + 1);
  if (second == absl::string_view::npos) return absl::InvalidArgumentError("stele.root is not HASH:BLOCKS:SALT");
  RootVerity verity;
  verity.hash = std::string(value.substr(0, first));
  verity.salt = std::string(value.substr(second + 1));
  if (verity.hash.size() != 64 || !IsHex(verity.hash))
    return absl::InvalidArgumentError("stele.root: no SHA-256 in hexadecimal");
  if (!ParseBounded(value.substr(first + 1, second - first - 1), 1, kMaxBlocks, verity.blocks)) {
    return absl::InvalidArgumentError("stele.root: no number of blocks");
  }
  if (verity.salt.empty()) verity.salt = "-";
  if (verity.salt != "-" &&
      (!IsHex(verity.salt) || verity.salt.size() % 2 != 0 || verity.salt.size() > kMaxSaltDigits)) {
    return absl::InvalidArgumentError("stele.root: no salt in hexadecimal");
  }
  return verity;
}

CommandLine ParseCommandLine(absl::string_view text) {
  CommandLine line;
  while (!text.empty()) {
    size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    absl::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    size_t equal = word.find('=');
    if (equal == absl::string_view::npos) continue;
    absl::string_view key = word.substr(0, equal), value = word.substr(equal + 1);
    if (key == "stele.root") line.root = std::string(value);
    if (key == "stele.trial") ParseBounded(value, 1, kMaxTrialSeconds, line.trial_seconds);
    if (key == "stele.kexec") line.kexec = value == "1";
    if (key == "stele.watchdog") line.watchdog = value != "off";
  }
  return line;
}

CommandLine ReadCommandLine() {
  absl::StatusOr<std::string> text = ReadFile("/proc/cmdline");
  return ParseCommandLine(text.ok() ? *text : "");
}

}  // namespace stele::init
