// Whether a text is plain UTF-8 that a person could have typed.
#pragma once

#include <optional>

#include "absl/strings/string_view.h"
#include "config/problem.h"

namespace stele::config {

// The first byte that is not valid UTF-8, or is a control character other than tab and line feed
// (a carriage return before a line feed passes), a byte order mark or a Unicode line separator: such
// bytes show a reader another text than the parser sees.
std::optional<Problem> CheckText(absl::string_view text);

// Whether a scalar's value holds a control character; escapes in double quotes can write one.
bool HasControlCharacter(absl::string_view value);

}  // namespace stele::config
