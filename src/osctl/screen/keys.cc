#include "osctl/screen/keys.h"

#include "absl/strings/match.h"

namespace stele::osctl {
namespace {

struct Sequence {
  absl::string_view bytes;
  Key key;
};
constexpr Sequence kSequences[] = {
    {"\x1b[A", Key::kUp},      {"\x1bOA", Key::kUp},        {"\x1b[B", Key::kDown},  {"\x1bOB", Key::kDown},
    {"\x1b[C", Key::kRight},   {"\x1bOC", Key::kRight},     {"\x1b[D", Key::kLeft},  {"\x1bOD", Key::kLeft},
    {"\x1b[5~", Key::kPageUp}, {"\x1b[6~", Key::kPageDown}, {"\x1b[H", Key::kHome},  {"\x1b[F", Key::kEnd},
    {"\x1bOH", Key::kHome},    {"\x1bOF", Key::kEnd},       {"\x1b[1~", Key::kHome}, {"\x1b[4~", Key::kEnd},
};

}  // namespace

KeyPress DecodeKey(absl::string_view bytes, bool last, size_t* taken) {
  *taken = 0;
  if (bytes.empty()) return {};
  for (const Sequence& sequence : kSequences) {
    if (!absl::StartsWith(bytes, sequence.bytes)) continue;
    *taken = sequence.bytes.size();
    return {sequence.key};
  }
  if (bytes[0] != '\x1b') {
    *taken = 1;
    if (bytes[0] == '\t') return {Key::kTab};
    if (bytes[0] == '\r' || bytes[0] == '\n') return {Key::kEnter};
    return {Key::kCharacter, bytes[0]};
  }
  if (bytes.size() >= 3 && (bytes[1] == '[' || bytes[1] == 'O')) {
    // A key that we do not know: all of it, so that its letters are not taken for keys.
    size_t end = 2;
    while (end < bytes.size() && (bytes[end] < '@' || bytes[end] > '~')) ++end;
    if (end < bytes.size()) {
      *taken = end + 1;
      return {};
    }
  }
  if (!last) return {};
  *taken = bytes.size();
  return {Key::kEscape};
}

}  // namespace stele::osctl
