#include "osctl/suggest.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace stele::osctl {
namespace {

constexpr size_t kLongest = 100;  // nobody mistypes a longer word by two letters; bounds the work

// So many slips may be in a word of that length: in a short one anything would be near to everything.
size_t SlipsIn(size_t length) { return length < 4 ? 1 : length < 8 ? 2 : 3; }

}  // namespace

size_t EditDistance(absl::string_view first, absl::string_view second) {
  std::string a = absl::AsciiStrToLower(first), b = absl::AsciiStrToLower(second);
  // Optimal string alignment: three rows of its table are alive at a time.
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

std::string Nearest(absl::string_view word, const std::vector<std::string>& known) {
  if (word.empty() || word.size() > kLongest) return "";
  std::string nearest;
  size_t least = SlipsIn(word.size()) + 1;
  for (const std::string& candidate : known) {
    if (candidate.size() > kLongest) continue;
    size_t distance = EditDistance(word, candidate);
    // A changed word and a short one have nothing in common: "ls" is no slip of "du".
    if (distance >= least || distance >= std::max(word.size(), candidate.size()) - 1) continue;
    least = distance;
    nearest = candidate;
  }
  if (!nearest.empty()) return nearest;
  // What was begun and not ended: "conf".
  for (const std::string& candidate : known) {
    if (word.size() >= 3 && absl::StartsWith(candidate, word)) return candidate;
  }
  return "";
}

std::string DidYouMean(absl::string_view word, const std::vector<std::string>& known) {
  std::string nearest = Nearest(word, known);
  return nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?");
}

}  // namespace stele::osctl
