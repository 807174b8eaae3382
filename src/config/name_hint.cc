#include "config/name_hint.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace stele::config {
namespace {

constexpr size_t kLongest = 64;  // nobody mistypes a name of this length; bounds the table

// Edit distance with swaps of neighbours (optimal string alignment).
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

// Case and the separators of other spellings do not count: node_ip, node-ip and nodeIp are all nodeIP.
std::string Fold(absl::string_view name) {
  std::string folded;
  for (char c : name) {
    if (c != '_' && c != '-') folded += absl::ascii_tolower(c);
  }
  return folded;
}

}  // namespace

std::string NearestName(absl::string_view name, const std::vector<std::string>& names) {
  if (name.size() > kLongest) return "";
  std::string folded = Fold(name), nearest;
  size_t best = kLongest;
  for (const std::string& known : names) {
    size_t distance = Distance(folded, Fold(known));
    size_t allowed = std::clamp<size_t>(known.size() / 3, 1, 3);
    if (distance <= allowed && distance < best) best = distance, nearest = known;
  }
  return nearest;
}

}  // namespace stele::config
