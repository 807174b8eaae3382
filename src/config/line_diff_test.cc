#include "config/line_diff.h"

#include <cstdlib>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace stele::config {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

std::string Diff(absl::string_view a, absl::string_view b) { return UnifiedDiff(a, b, "a", "b", 1 << 20); }

// What patch(1) would do with it.
std::string Apply(const std::string& text, const std::string& diff) {
  std::vector<std::string> old, made;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) old.emplace_back(line);
  size_t at = 0;
  for (absl::string_view line : absl::StrSplit(diff, '\n', absl::SkipEmpty())) {
    if (line[0] == '@') {
      size_t start = 0, count = 1;
      int fields = std::sscanf(std::string(line).c_str(), "@@ -%zu,%zu", &start, &count);
      if (fields == 2 && count == 0) ++start;
      for (; at + 1 < start; ++at) made.push_back(old[at]);
    } else if (line.substr(0, 3) == "---" || line.substr(0, 3) == "+++") {
      continue;
    } else if (line[0] == '+') {
      made.emplace_back(line.substr(1));
    } else {
      EXPECT_EQ(line.substr(1), old[at]) << diff;
      if (line[0] == ' ') made.push_back(old[at]);
      ++at;
    }
  }
  for (; at < old.size(); ++at) made.push_back(old[at]);
  return made.empty() ? "" : absl::StrJoin(made, "\n") + "\n";
}

TEST(UnifiedDiff, LooksLikeOne) {
  EXPECT_EQ(Diff("a\nb\n", "a\nb\n"), "");
  EXPECT_EQ(Diff("", ""), "");
  EXPECT_EQ(Diff("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n"),
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
  EXPECT_EQ(Diff("", "x\n"), "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
  EXPECT_EQ(Diff("x\ny\n", ""), "--- a\n+++ b\n@@ -1,2 +0,0 @@\n-x\n-y\n");
}

TEST(UnifiedDiff, MakesTheOneOfTheOther) {
  std::minstd_rand random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string a, b;
    size_t lines = random() % 40;
    for (size_t i = 0; i < lines; ++i) {
      std::string line = absl::StrCat("l", random() % 6, "\n");
      if (random() % 4 != 0) a += line;
      if (random() % 4 != 0) b += line;
    }
    std::string diff = Diff(a, b);
    ASSERT_EQ(Apply(a, diff), b) << "from\n" << a << "to\n" << b << diff;
  }
}

TEST(UnifiedDiff, IsBounded) {
  std::string a, b;
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&a, i, "\n");
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&b, "x", i, "\n");
  std::string diff = UnifiedDiff(a, b, "a", "b", 10'000);
  EXPECT_LT(diff.size(), 10'100u);
  EXPECT_THAT(diff, EndsWith("… and more\n"));
  std::string c = a;
  c.insert(c.size() / 2, "one more\n");
  EXPECT_THAT(Diff(a, c), StartsWith("--- a\n+++ b\n@@ -"));
}

}  // namespace
}  // namespace stele::config
