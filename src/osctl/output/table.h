// Columns of text, aligned.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::osctl {

// Cells are printed as they are, save control characters, which become '?': what a node says never
// steers the terminal. Empty cells show "-".
class Table {
 public:
  explicit Table(std::vector<std::string> headers);

  void AddRow(std::vector<std::string> cells);
  // Header and rows added so far; later calls give only the rows added since, in columns at least as
  // wide as before: what a watch prints.
  std::string Render();

 private:
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> pending_;
};

}  // namespace stele::osctl
