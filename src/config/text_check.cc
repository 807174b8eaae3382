#include "config/text_check.h"

#include "absl/strings/str_format.h"

namespace stele::config {
namespace {

// The length of the UTF-8 sequence at the start of `text` and its character; 0 when it is malformed,
// overlong, a surrogate, or above U+10FFFF.
size_t DecodeUtf8(absl::string_view text, uint32_t* character) {
  auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  uint8_t first = byte(0);
  if (first < 0x80) {
    *character = first;
    return 1;
  }
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (length == 0 || first > 0xF4 || text.size() < length) return 0;
  uint32_t value = first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
  *character = value;
  return length;
}

bool IsForbidden(uint32_t character) {
  if (character == '\t' || character == '\n') return false;
  return character < 0x20 || (character >= 0x7F && character < 0xA0) || character == 0x2028 || character == 0x2029 ||
         character == 0xFEFF || character == 0xFFFE || character == 0xFFFF;
}

}  // namespace

std::optional<Problem> CheckText(absl::string_view text) {
  uint32_t line = 1, column = 1;
  for (size_t i = 0; i < text.size();) {
    uint32_t character = 0;
    size_t length = DecodeUtf8(text.substr(i), &character);
    if (length == 0) {
      return Problem{line, column, "",
                     absl::StrFormat("byte 0x%02x is not valid UTF-8", static_cast<uint8_t>(text[i]))};
    }
    bool carriage_return = character == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (IsForbidden(character) && !carriage_return) {
      return Problem{line, column, "", absl::StrFormat("control character U+%04X is not allowed", character)};
    }
    ++column;
    if (character == '\n') ++line, column = 1;
    i += length;
  }
  return std::nullopt;
}

bool HasControlCharacter(absl::string_view value) {
  for (size_t i = 0; i < value.size();) {
    uint32_t character = 0;
    size_t length = DecodeUtf8(value.substr(i), &character);
    if (length == 0 || IsForbidden(character)) return true;
    i += length;
  }
  return false;
}

}  // namespace stele::config
