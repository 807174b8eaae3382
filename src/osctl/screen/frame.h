// One picture of a terminal: lines of styled words, cut to its size. Pure; terminal.h shows it.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::osctl {

enum class Style : unsigned char { kPlain, kBold, kReverse, kDim, kGood, kWarning, kBad };
enum class Colours : unsigned char { kNo, kYes };
enum class Align : unsigned char { kLeft, kRight };

struct Span {
  std::string text;
  Style style = Style::kPlain;
};
using Line = std::vector<Span>;

// Code points; what nodes show is one column each.
size_t WidthOf(absl::string_view text);
// Exactly so wide: cut, or filled with blanks. Control characters become '?', so that no node moves our cursor.
std::string Fitted(absl::string_view text, size_t width, Align align = Align::kLeft);
// The words of `line` side by side, exactly as wide as `width`; the last span's style fills it.
Line FittedLine(const Line& line, size_t width);
// `left`, so wide, and `right` beside it.
Line Beside(const Line& left, size_t width, const Line& right);

class Frame {
 public:
  Frame(size_t width, size_t height) : width_(width), height_(height) {}

  size_t width() const { return width_; }
  size_t height() const { return height_; }
  size_t rows_left() const { return height_ - lines_.size(); }
  // Below the last; nothing once the frame is full.
  void Add(Line line);
  // Blank lines, then `line` as the very last one; in place of the last one when the frame is full.
  void AddLast(Line line);
  // As a terminal takes them: one for each row, each as wide as the frame. Without colours bold and reverse remain.
  std::vector<std::string> Rows(Colours colours) const;
  // The same without styles, for tests: lines without blanks at their ends.
  std::string Text() const;

 private:
  size_t width_, height_;
  std::vector<Line> lines_;
};

}  // namespace stele::osctl
