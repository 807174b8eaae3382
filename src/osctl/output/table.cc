#include "osctl/output/table.h"

#include <algorithm>
#include <utility>

namespace stele::osctl {
namespace {

// Code points: close enough to columns for what nodes show.
size_t Width(absl::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
}

std::string Cleaned(std::string cell) {
  if (cell.empty()) return "-";
  for (char& c : cell) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return cell;
}

}  // namespace

Table::Table(std::vector<std::string> headers) : widths_(headers.size(), 0) { AddRow(std::move(headers)); }

void Table::AddRow(std::vector<std::string> cells) {
  cells.resize(widths_.size());
  for (size_t i = 0; i < cells.size(); ++i) {
    cells[i] = Cleaned(std::move(cells[i]));
    widths_[i] = std::max(widths_[i], Width(cells[i]));
  }
  pending_.push_back(std::move(cells));
}

std::string Table::Render() {
  std::string out;
  for (const std::vector<std::string>& row : pending_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths_[i] - Width(row[i]) + 2, ' ');
    }
    out.push_back('\n');
  }
  pending_.clear();
  return out;
}

}  // namespace stele::osctl
