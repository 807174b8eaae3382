// YAML text to a protobuf message, strictly.
//
// Keys are the fields' JSON names. A text is refused, with every reason, for: an unknown or duplicate
// key, a value of another type than its field's, a missing field marked (required), an anchor, alias,
// tag, directive or second document, anything but printable UTF-8, or a bound of ParseOptions that is
// crossed. What YAML would guess from an unquoted word is not guessed: `hostname: 12` is refused, and
// told to be quoted.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "config/problem.h"
#include "google/protobuf/message.h"

namespace stele::config {

struct ParseOptions {
  // Unknown keys become warnings: a node that rolls back must boot with a newer version's config.
  bool tolerate_unknown_keys = false;

  size_t max_bytes = 1 << 20;
  size_t max_nodes = 20'000;
  size_t max_depth = 32;
};

// Where a text holds the value, which is not empty, of a field marked (secret).
struct SecretSpan {
  std::string path;
  Mark mark;
  size_t begin = 0, end = 0;  // in characters; `end` is behind it, and a block's trailing line breaks
  bool hidden = false;        // it is kSecretMark, which stands for a secret that is not shown
};

// What is shown in place of a secret.
inline constexpr char kSecretMark[] = "(secret)";

// Fills `out` with what could be understood, also where there are problems. `warnings`, `marks` and `secrets` (in the
// order of the text) may be null. Empty: the text is good. No state is kept; any thread.
std::vector<Problem> ParseYaml(absl::string_view yaml, const ParseOptions& options, google::protobuf::Message* out,
                               std::vector<Problem>* warnings = nullptr, MarkMap* marks = nullptr,
                               std::vector<SecretSpan>* secrets = nullptr);

}  // namespace stele::config
