#include "config/problem.h"

#include <algorithm>
#include <tuple>

namespace stele::config {

void SortProblems(std::vector<Problem>* problems) {
  std::stable_sort(problems->begin(), problems->end(), [](const Problem& a, const Problem& b) {
    return std::tie(a.line, a.column) < std::tie(b.line, b.column);
  });
  if (problems->size() > kMaxProblems) problems->resize(kMaxProblems);
}

}  // namespace stele::config
