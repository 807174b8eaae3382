#include "config/line_diff.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/types/span.h"

namespace stele::config {
namespace {

constexpr int kMaxEdits = 1000;  // of the search, whose memory is its square
constexpr size_t kAround = 3;

using Lines = std::vector<absl::string_view>;

Lines LinesOf(absl::string_view text) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text.empty() ? Lines() : Lines(absl::StrSplit(text, '\n'));
}

// One line of the result: of both, of the first alone, of the second alone.
struct Step {
  char mark;
  absl::string_view line;
};

// Myers' greedy search (An O(ND) Difference Algorithm, 1986): how far each diagonal gets with d edits, d by d.
std::vector<Step> Edits(absl::Span<const absl::string_view> a, absl::Span<const absl::string_view> b) {
  const int n = static_cast<int>(a.size()), m = static_cast<int>(b.size());
  const int most = std::min(n + m, kMaxEdits);
  std::vector<std::vector<int>> history;  // [d][k + d]
  std::vector<int> furthest(2 * most + 3, 0);
  auto at = [&](int k) -> int& { return furthest[k + most + 1]; };
  std::vector<Step> steps;
  for (int d = 0; d <= most; ++d) {
    for (int k = -d; k <= d; k += 2) {
      int x = k == -d || (k != d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < n && x - k < m && a[x] == b[x - k]) ++x;
      at(k) = x;
    }
    std::vector<int> row(2 * d + 1);
    for (int k = -d; k <= d; ++k) row[k + d] = at(k);
    history.push_back(std::move(row));
    int last = n - m;
    if (last < -d || last > d || (last + d) % 2 != 0 || at(last) < n) continue;
    // Back along the way it came.
    int x = n, y = m;
    for (int e = d; e > 0; --e) {
      const std::vector<int>& row_before = history[e - 1];
      auto before = [&](int k) { return k < -(e - 1) || k > e - 1 ? -1 : row_before[k + e - 1]; };
      int k = x - y;
      bool down = k == -e || (k != e && before(k - 1) < before(k + 1));
      int from_k = down ? k + 1 : k - 1;
      int from_x = before(from_k), from_y = from_x - from_k;
      while (x > from_x + (down ? 0 : 1) && y > from_y + (down ? 1 : 0)) {
        --x, --y;
        steps.push_back({' ', a[x]});
      }
      if (down) {
        steps.push_back({'+', b[--y]});
      } else {
        steps.push_back({'-', a[--x]});
      }
    }
    while (x > 0) steps.push_back({' ', a[--x]});
    std::reverse(steps.begin(), steps.end());
    return steps;
  }
  for (absl::string_view line : a) steps.push_back({'-', line});
  for (absl::string_view line : b) steps.push_back({'+', line});
  return steps;
}

std::vector<Step> StepsOf(const Lines& a, const Lines& b) {
  size_t head = 0, tail = 0, least = std::min(a.size(), b.size());
  while (head < least && a[head] == b[head]) ++head;
  while (tail < least - head && a[a.size() - 1 - tail] == b[b.size() - 1 - tail]) ++tail;
  std::vector<Step> steps;
  for (size_t i = 0; i < head; ++i) steps.push_back({' ', a[i]});
  auto inner = [&](const Lines& lines) { return absl::MakeConstSpan(lines).subspan(head, lines.size() - head - tail); };
  for (const Step& step : Edits(inner(a), inner(b))) steps.push_back(step);
  for (size_t i = a.size() - tail; i < a.size(); ++i) steps.push_back({' ', a[i]});
  return steps;
}

std::string Range(size_t start, size_t count) {
  // An empty range is named by the line before it.
  return absl::StrCat(count == 0 ? start : start + 1, count == 1 ? "" : absl::StrCat(",", count));
}

}  // namespace

std::string UnifiedDiff(absl::string_view before, absl::string_view after, absl::string_view before_name,
                        absl::string_view after_name, size_t max_bytes) {
  Lines a = LinesOf(before), b = LinesOf(after);
  std::vector<Step> steps = StepsOf(a, b);
  std::string out;
  size_t a_line = 0, b_line = 0;  // lines before steps[i]
  for (size_t i = 0; i < steps.size();) {
    if (steps[i].mark == ' ') {
      ++i, ++a_line, ++b_line;
      continue;
    }
    if (out.empty()) out = absl::StrCat("--- ", before_name, "\n+++ ", after_name, "\n");
    // The hunk ends before more than twice kAround lines that are equal.
    size_t begin = i - std::min(i, kAround), end = i, equal = 0;
    for (size_t j = i; j < steps.size() && equal <= 2 * kAround; ++j) {
      equal = steps[j].mark == ' ' ? equal + 1 : 0;
      if (equal == 0) end = j + 1;
    }
    end = std::min(end + kAround, steps.size());
    size_t a_count = 0, b_count = 0;
    std::string hunk;
    for (size_t j = begin; j < end && hunk.size() <= max_bytes; ++j) {
      absl::StrAppend(&hunk, absl::string_view(&steps[j].mark, 1), steps[j].line, "\n");
      a_count += steps[j].mark != '+';
      b_count += steps[j].mark != '-';
    }
    if (out.size() + hunk.size() > max_bytes) return out + "… and more\n";
    absl::StrAppend(&out, "@@ -", Range(a_line - (i - begin), a_count), " +", Range(b_line - (i - begin), b_count),
                    " @@\n", hunk);
    for (; i < end; ++i) {
      a_line += steps[i].mark != '+';
      b_line += steps[i].mark != '-';
    }
  }
  return out;
}

}  // namespace stele::config
