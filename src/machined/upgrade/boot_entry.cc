#include "machined/upgrade/boot_entry.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace stele::machined {
namespace {

constexpr char kPrefix[] = "stele-";
constexpr size_t kMaxDigits = 9;

// Takes the digits at the beginning of `text` as a number, without leading zeros.
template <typename Number>
bool TakeNumber(absl::string_view& text, Number& number) {
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
  if (digits == 0 || digits > kMaxDigits || (digits > 1 && text[0] == '0')) return false;
  if (!absl::SimpleAtoi(text.substr(0, digits), &number)) return false;
  text.remove_prefix(digits);
  return true;
}

}  // namespace

std::optional<BootEntry> ParseBootEntry(absl::string_view name) {
  BootEntry entry;
  if (!absl::ConsumePrefix(&name, kPrefix) || !TakeNumber(name, entry.number) || entry.number == 0) return std::nullopt;
  if (name == ".new") {
    entry.kind = BootEntry::Kind::kWritten;
    return entry;
  }
  if (absl::ConsumePrefix(&name, "+")) {
    entry.kind = BootEntry::Kind::kCounted;
    if (!TakeNumber(name, entry.left)) return std::nullopt;
    if (absl::ConsumePrefix(&name, "-") && !TakeNumber(name, entry.done)) return std::nullopt;
  }
  if (name != ".efi") return std::nullopt;
  return entry;
}

std::string FileName(const BootEntry& entry) {
  std::string name = absl::StrCat(kPrefix, entry.number);
  switch (entry.kind) {
    case BootEntry::Kind::kWritten:
      return absl::StrCat(name, ".new");
    case BootEntry::Kind::kGood:
      return absl::StrCat(name, ".efi");
    case BootEntry::Kind::kCounted:
      break;
  }
  return absl::StrCat(name, "+", entry.left, entry.done > 0 ? absl::StrCat("-", entry.done) : "", ".efi");
}

bool LoaderPrefers(const BootEntry& a, const BootEntry& b) {
  // boot_entry_compare of systemd-boot: no tries left last; then by id, which is the name without the counter, the
  // higher first. All UKIs of ours have the same sort key and no version.
  if (a.failed() != b.failed()) return b.failed();
  if (a.number != b.number) return a.number > b.number;
  if (a.kind != BootEntry::Kind::kCounted || b.kind != BootEntry::Kind::kCounted) return false;
  if (a.left != b.left) return a.left > b.left;
  return a.done < b.done;
}

std::vector<BootEntry> InLoaderOrder(std::vector<BootEntry> entries) {
  entries.erase(std::remove_if(entries.begin(), entries.end(), [](const BootEntry& e) { return !e.bootable(); }),
                entries.end());
  std::stable_sort(entries.begin(), entries.end(), LoaderPrefers);
  return entries;
}

std::optional<BootEntry> NextBoot(const std::vector<BootEntry>& entries) {
  std::vector<BootEntry> ordered = InLoaderOrder(entries);
  if (ordered.empty()) return std::nullopt;
  return ordered.front();
}

uint64_t NextNumber(const std::vector<BootEntry>& entries) {
  uint64_t highest = 0;
  for (const BootEntry& entry : entries) highest = std::max(highest, entry.number);
  return highest + 1;
}

uint64_t NumberInLoaderPath(absl::string_view path) {
  size_t slash = path.find_last_of("\\/");
  if (slash != absl::string_view::npos) path.remove_prefix(slash + 1);
  std::optional<BootEntry> entry = ParseBootEntry(path);
  return entry.has_value() ? entry->number : 0;
}

}  // namespace stele::machined
