// What is wrong with a configuration, and where.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace stele::config {

// A place in a text; 1-based, 0 when there is none.
struct Mark {
  uint32_t line = 0;
  uint32_t column = 0;
};

// Where the value of each path was written, such as {"network.interfaces[0].dhcp", {7, 13}}.
using MarkMap = std::map<std::string, Mark>;

// One reason why a text is refused.
struct Problem {
  uint32_t line = 0;
  uint32_t column = 0;
  std::string path;  // network.interfaces[0].dhcp; empty for the text as a whole
  std::string reason;
};

// A reader of twenty problems has enough to mend; a hostile text must not make us answer with more than it is.
inline constexpr size_t kMaxProblems = 20;

// "7:13: network.interfaces[0].dhcp: expected true or false"
inline std::string ToString(const Problem& problem) {
  std::string text;
  if (problem.line != 0) absl::StrAppend(&text, problem.line, ":", problem.column, ": ");
  if (!problem.path.empty()) absl::StrAppend(&text, problem.path, ": ");
  return absl::StrCat(text, problem.reason);
}

// In the order of the text, at most kMaxProblems.
void SortProblems(std::vector<Problem>* problems);

}  // namespace stele::config
