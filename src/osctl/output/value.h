// The one output model: whatever a command shows as JSON or YAML is a Value, most of them made from
// protobuf messages as proto JSON maps them (https://protobuf.dev/programming-guides/json).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace google::protobuf {
class Message;
}

namespace stele::osctl {

// A tree as JSON knows it, with keys in the order they were added.
class Value {
 public:
  enum class Kind : unsigned char { kNull, kLiteral, kString, kList, kMap };

  Value() = default;
  static Value String(absl::string_view text);
  // A number or a boolean, as written.
  static Value Literal(absl::string_view text);
  static Value List();
  static Value Map();

  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }
  const std::vector<std::pair<std::string, Value>>& items() const { return items_; }

  Value& Add(absl::string_view key, Value value);  // to a map; answers *this
  Value& Append(Value value);                      // to a list

 private:
  Kind kind_ = Kind::kNull;
  std::string text_;
  std::vector<std::pair<std::string, Value>> items_;  // of a list: with empty keys
};

enum class Defaults : unsigned char { kShow, kOmit };
enum class Secrets : unsigned char { kHide, kShow };

// A message as proto JSON has it: camelCase keys, 64-bit integers as strings, enums by name. Fields
// marked secret become "(secret)".
Value FromProto(const google::protobuf::Message& message, Defaults defaults = Defaults::kShow,
                Secrets secrets = Secrets::kHide);

enum class Layout : unsigned char { kIndented, kOneLine };

// JSON, ended by a newline.
std::string ToJson(const Value& value, Layout layout = Layout::kIndented);
// One YAML document, ended by a newline.
std::string ToYaml(const Value& value);

}  // namespace stele::osctl
