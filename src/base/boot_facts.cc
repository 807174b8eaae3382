#include "base/boot_facts.h"

#include "base/file.h"

namespace stele {
namespace {

constexpr size_t kMaxFile = 16 * 1024;
constexpr size_t kMaxDigits = 19;  // a number of so many fits 64 bits

absl::string_view MediumName(BootMedium medium) {
  switch (medium) {
    case BootMedium::kUnknown:
      return "unknown";
    case BootMedium::kMemory:
      return "memory";
    case BootMedium::kSlot:
      return "slot";
  }
  return "unknown";
}

bool IsNumber(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxDigits && text.find_first_not_of("0123456789") == absl::string_view::npos;
}

bool ParseFlag(absl::string_view value, bool& flag) {
  flag = value == "1";
  return value == "0" || value == "1";
}

bool ParseNumber(absl::string_view value, uint64_t& number) {
  if (!IsNumber(value)) return false;
  number = 0;
  for (char digit : value) number = number * 10 + static_cast<uint64_t>(digit - '0');
  return true;
}

bool ParseMedium(absl::string_view value, BootMedium& medium) {
  for (BootMedium one : {BootMedium::kUnknown, BootMedium::kMemory, BootMedium::kSlot}) {
    if (value != MediumName(one)) continue;
    medium = one;
    return true;
  }
  return false;
}

bool StoreFact(absl::string_view key, absl::string_view value, BootFacts& facts) {
  if (key == "medium") return ParseMedium(value, facts.medium);
  if (key == "trial") return ParseFlag(value, facts.trial);
  if (key == "watchdog_reset") return ParseFlag(value, facts.watchdog_reset);
  if (key == "medium_root_size") return ParseNumber(value, facts.medium_root_size);
  if (key == "root_hash") facts.root_hash = std::string(value);
  if (key == "root_device") facts.root_device = std::string(value);
  if (key == "loader_partition") facts.loader_partition = std::string(value);
  if (key == "entry") facts.entry = std::string(value);
  if (key == "medium_root") facts.medium_root = std::string(value);
  return true;
}

// A firmware's text must not become a line of its own.
std::string OneLine(absl::string_view value) {
  std::string line(value);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ') c = '?';
  }
  return line;
}

}  // namespace

std::string FormatBootFacts(const BootFacts& facts) {
  return absl::StrCat("medium=", MediumName(facts.medium), "\nroot_hash=", OneLine(facts.root_hash),
                      "\nroot_device=", OneLine(facts.root_device), "\ntrial=", facts.trial ? 1 : 0,
                      "\nloader_partition=", OneLine(facts.loader_partition), "\nentry=", OneLine(facts.entry),
                      "\nmedium_root=", OneLine(facts.medium_root), "\nmedium_root_size=", facts.medium_root_size,
                      "\nwatchdog_reset=", facts.watchdog_reset ? 1 : 0, "\n");
}

absl::StatusOr<BootFacts> ParseBootFacts(absl::string_view text) {
  BootFacts facts;
  while (!text.empty()) {
    absl::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.empty()) continue;
    size_t equal = line.find('=');
    if (equal == absl::string_view::npos || !StoreFact(line.substr(0, equal), line.substr(equal + 1), facts)) {
      return absl::InvalidArgumentError(absl::StrCat("facts of this boot: bad line: ", line));
    }
  }
  return facts;
}

absl::StatusOr<BootFacts> ReadBootFacts(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxFile));
  return ParseBootFacts(text);
}

bool IsCountedEntry(absl::string_view path) {
  size_t separator = path.find_last_of("\\/");
  if (separator != absl::string_view::npos) path.remove_prefix(separator + 1);
  constexpr absl::string_view kSuffix = ".efi";
  if (path.size() < kSuffix.size()) return false;
  absl::string_view suffix = path.substr(path.size() - kSuffix.size());
  for (size_t i = 0; i < kSuffix.size(); ++i) {
    char lower = suffix[i] >= 'A' && suffix[i] <= 'Z' ? static_cast<char>(suffix[i] + 32) : suffix[i];
    if (lower != kSuffix[i]) return false;
  }
  path.remove_suffix(kSuffix.size());
  size_t plus = path.rfind('+');
  if (plus == absl::string_view::npos) return false;
  absl::string_view counter = path.substr(plus + 1);
  size_t dash = counter.find('-');
  if (dash == absl::string_view::npos) return IsNumber(counter);
  return IsNumber(counter.substr(0, dash)) && IsNumber(counter.substr(dash + 1));
}

}  // namespace stele
