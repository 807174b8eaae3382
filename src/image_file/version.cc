#include "image_file/version.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace stele::image_file {
namespace {

constexpr size_t kMaxDigits = 9;  // what fits 32 bits

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
}

// 01 would be another spelling of 1.
bool IsNumber(absl::string_view text) { return AllDigits(text) && (text.size() == 1 || text[0] != '0'); }

bool IsIdentifier(absl::string_view text) {
  bool known = std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
  return !text.empty() && known && (!AllDigits(text) || IsNumber(text));
}

int Sign(int64_t difference) { return difference < 0 ? -1 : difference > 0 ? 1 : 0; }

int CompareIdentifiers(absl::string_view a, absl::string_view b) {
  bool a_number = AllDigits(a), b_number = AllDigits(b);
  if (a_number != b_number) return a_number ? -1 : 1;
  // Numbers have no leading zeros, so the longer one is the larger, however long.
  if (a_number && a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return Sign(a.compare(b));
}

int CompareSuffixes(absl::string_view a, absl::string_view b) {
  if (a.empty() || b.empty()) return a.empty() - b.empty();  // the release is newer
  std::vector<absl::string_view> left = absl::StrSplit(a, '.'), right = absl::StrSplit(b, '.');
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (int order = CompareIdentifiers(left[i], right[i]); order != 0) return order;
  }
  return Sign(static_cast<int64_t>(left.size()) - static_cast<int64_t>(right.size()));
}

}  // namespace

std::string Version::Text() const {
  return absl::StrCat(major, ".", minor, ".", patch, suffix.empty() ? "" : "-", suffix);
}

absl::StatusOr<Version> ParseVersion(absl::string_view text) {
  if (text.size() > kMaxVersion) {
    return absl::InvalidArgumentError(absl::StrCat("a version of ", text.size(), " characters; at most ", kMaxVersion));
  }
  auto wrong = [&] {
    std::string shown(text);
    for (char& c : shown) {
      if (!absl::ascii_isgraph(c)) c = '?';
    }
    return absl::InvalidArgumentError(absl::StrCat("'", shown, "' is no version: MAJOR.MINOR.PATCH or with -SUFFIX"));
  };
  Version version;
  size_t dash = text.find('-');
  std::vector<absl::string_view> numbers = absl::StrSplit(text.substr(0, dash), '.');
  if (numbers.size() != 3) return wrong();
  uint32_t* fields[] = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < 3; ++i) {
    if (!IsNumber(numbers[i]) || numbers[i].size() > kMaxDigits || !absl::SimpleAtoi(numbers[i], fields[i])) {
      return wrong();
    }
  }
  if (dash == absl::string_view::npos) return version;
  version.suffix = std::string(text.substr(dash + 1));
  for (absl::string_view identifier : absl::StrSplit(version.suffix, '.')) {
    if (!IsIdentifier(identifier)) return wrong();
  }
  return version;
}

int CompareVersions(const Version& a, const Version& b) {
  for (uint32_t Version::*field : {&Version::major, &Version::minor, &Version::patch}) {
    if (a.*field != b.*field) return a.*field < b.*field ? -1 : 1;
  }
  return CompareSuffixes(a.suffix, b.suffix);
}

}  // namespace stele::image_file
