// Keys, as terminals send them. Pure.
#pragma once

#include <cstddef>

#include "absl/strings/string_view.h"

namespace stele::osctl {

enum class Key : unsigned char {
  kNone,  // nothing until the time was over
  kCharacter,
  kUp,
  kDown,
  kLeft,
  kRight,
  kPageUp,
  kPageDown,
  kHome,
  kEnd,
  kTab,
  kEnter,
  kEscape,
  kResized,
  kGone,  // nobody will press any more: the terminal was closed
};

struct KeyPress {
  Key key = Key::kNone;
  char character = 0;  // of kCharacter
};

// The key that `bytes` begin with, and how many of them it took; 0: more bytes are needed. A lone escape is one only
// when nothing follows it, which the caller says with `last`.
KeyPress DecodeKey(absl::string_view bytes, bool last, size_t* taken);

}  // namespace stele::osctl
