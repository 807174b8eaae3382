#include "osctl/screen/frame.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace stele::osctl {
namespace {

bool Begins(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

absl::string_view CodeOf(Style style, Colours colours) {
  bool colour = colours == Colours::kYes;
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\x1b[1m";
    case Style::kReverse:
      return "\x1b[7m";
    case Style::kDim:
      return "\x1b[2m";
    case Style::kGood:
      return colour ? "\x1b[32m" : "";
    case Style::kWarning:
      return colour ? "\x1b[33m" : "";
    case Style::kBad:
      return colour ? "\x1b[1;31m" : "\x1b[1m";
  }
  return "";
}

}  // namespace

size_t WidthOf(absl::string_view text) { return static_cast<size_t>(std::count_if(text.begin(), text.end(), Begins)); }

std::string Fitted(absl::string_view text, size_t width, Align align) {
  std::string out;
  size_t used = 0;
  for (char c : text) {
    if (Begins(c) && ++used > width) break;
    bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    out.push_back(control ? '?' : c);
  }
  size_t blanks = width - std::min(used, width);
  return align == Align::kLeft ? out + std::string(blanks, ' ') : std::string(blanks, ' ') + out;
}

Line FittedLine(const Line& line, size_t width) {
  Line out;
  size_t left = width;
  for (size_t i = 0; i < line.size(); ++i) {
    size_t wide = i + 1 == line.size() ? left : std::min(left, WidthOf(line[i].text));
    out.push_back({Fitted(line[i].text, wide), line[i].style});
    left -= wide;
  }
  if (line.empty()) out.push_back({std::string(width, ' '), Style::kPlain});
  return out;
}

Line Beside(const Line& left, size_t width, const Line& right) {
  Line out = FittedLine(left, width);
  out.insert(out.end(), right.begin(), right.end());
  return out;
}

void Frame::Add(Line line) {
  if (rows_left() > 0) lines_.push_back(FittedLine(line, width_));
}

void Frame::AddLast(Line line) {
  if (rows_left() == 0 && !lines_.empty()) lines_.pop_back();
  while (rows_left() > 1) Add({});
  Add(std::move(line));
}

std::vector<std::string> Frame::Rows(Colours colours) const {
  std::vector<std::string> rows;
  for (const Line& line : lines_) {
    std::string row;
    for (const Span& span : line) {
      absl::string_view code = CodeOf(span.style, colours);
      absl::StrAppend(&row, code, span.text, code.empty() ? "" : "\x1b[0m");
    }
    rows.push_back(std::move(row));
  }
  rows.resize(height_, std::string(width_, ' '));
  return rows;
}

std::string Frame::Text() const {
  std::string out;
  for (const Line& line : lines_) {
    std::string text;
    for (const Span& span : line) text += span.text;
    text.resize(text.find_last_not_of(' ') + 1);
    absl::StrAppend(&out, text, "\n");
  }
  return out;
}

}  // namespace stele::osctl
