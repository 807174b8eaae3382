#include "machined/upgrade/excerpt.h"

#include <deque>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "machined/upgrade/upgrade_store.h"

namespace stele::machined {
namespace {

constexpr size_t kLines = 5;
constexpr size_t kLineBytes = 200;

// Words that stand beside secrets in the logs of what we run. A line too few is better than a token in a record
// that anybody with the reader's role sees.
bool MayHoldSecret(absl::string_view line) {
  std::string lower = absl::AsciiStrToLower(line);
  for (const char* word : {"token", "password", "passwd", "secret", "private key", "bearer", "authorization", "eyj"}) {
    if (absl::StrContains(lower, word)) return true;
  }
  return false;
}

}  // namespace

std::string Excerpt(absl::string_view log) {
  std::deque<std::string> lines;
  for (absl::string_view line : absl::StrSplit(log, '\n', absl::SkipWhitespace())) {
    if (MayHoldSecret(line)) continue;
    lines.push_back(Bounded(line, kLineBytes));
    if (lines.size() > kLines) lines.pop_front();
  }
  return absl::StrJoin(lines, "\n");
}

}  // namespace stele::machined
