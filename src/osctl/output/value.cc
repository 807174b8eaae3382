#include "osctl/output/value.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace stele::osctl {
namespace {

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (unsigned char c : std::string(text)) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (c < 0x20 || c == 0x7f) {
          absl::StrAppendFormat(&out, "\\u%04x", c);
        } else {
          out.push_back(static_cast<char>(c));
        }
    }
  }
  return out + "\"";
}

void AppendJson(const Value& value, Layout layout, int depth, std::string* out) {
  bool map = value.kind() == Value::Kind::kMap;
  switch (value.kind()) {
    case Value::Kind::kNull:
      out->append("null");
      return;
    case Value::Kind::kLiteral:
      out->append(value.text());
      return;
    case Value::Kind::kString:
      out->append(Quoted(value.text()));
      return;
    case Value::Kind::kList:
    case Value::Kind::kMap:
      break;
  }
  out->push_back(map ? '{' : '[');
  std::string indent = layout == Layout::kIndented ? "\n" + std::string(2 * depth + 2, ' ') : "";
  bool first = true;
  for (const auto& [key, item] : value.items()) {
    if (!first) out->push_back(',');
    first = false;
    out->append(indent);
    if (map) absl::StrAppend(out, Quoted(key), layout == Layout::kIndented ? ": " : ":");
    AppendJson(item, layout, depth + 1, out);
  }
  if (!first && layout == Layout::kIndented) absl::StrAppend(out, "\n", std::string(2 * depth, ' '));
  out->push_back(map ? '}' : ']');
}

// Whether YAML 1.1 and 1.2 readers all take `text`, unquoted, for a string and for nothing else.
bool IsPlainYaml(absl::string_view text) {
  if (text.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(text[0]))) {
    if (text.empty() || text[0] != '/') return false;
  }
  for (unsigned char c : std::string(text)) {
    if (!absl::ascii_isalnum(c) && std::string("/._-@+").find(static_cast<char>(c)) == std::string::npos) return false;
  }
  std::string lower = absl::AsciiStrToLower(text);
  for (const char* word : {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}) {
    if (lower == word) return false;
  }
  return true;
}

// Several printable lines, the last one ended: what a block literal can hold unchanged.
bool IsBlockYaml(absl::string_view text) {
  if (text.find('\n') == absl::string_view::npos || text.back() != '\n' || text[0] == ' ' || text[0] == '\n')
    return false;
  if (text.size() >= 2 && text[text.size() - 2] == '\n') return false;
  for (unsigned char c : std::string(text)) {
    if (c != '\n' && c != '\t' && (c < 0x20 || c == 0x7f)) return false;
  }
  return true;
}

void AppendYaml(const Value& value, int depth, std::string* out);

// What follows "key:" or "-".
void AppendYamlItem(const Value& value, int depth, bool in_list, std::string* out) {
  bool container = value.kind() == Value::Kind::kList || value.kind() == Value::Kind::kMap;
  if (!container || value.items().empty()) {
    out->push_back(' ');
    AppendYaml(value, depth, out);
    out->push_back('\n');
    return;
  }
  if (!in_list) {
    out->push_back('\n');
    AppendYaml(value, value.kind() == Value::Kind::kList ? depth - 1 : depth, out);  // dashes below the key
    return;
  }
  // "- key: …": the first line moves up beside the dash.
  std::string nested;
  AppendYaml(value, depth, &nested);
  absl::StrAppend(out, " ", absl::string_view(nested).substr(2 * depth));
}

void AppendYaml(const Value& value, int depth, std::string* out) {
  std::string indent(2 * depth, ' ');
  switch (value.kind()) {
    case Value::Kind::kNull:
      out->append("null");
      return;
    case Value::Kind::kLiteral:
      out->append(value.text());
      return;
    case Value::Kind::kString:
      if (IsPlainYaml(value.text())) {
        out->append(value.text());
      } else if (IsBlockYaml(value.text())) {
        out->append("|");
        absl::string_view lines = value.text();
        lines.remove_suffix(1);
        for (absl::string_view line : absl::StrSplit(lines, '\n')) {
          absl::StrAppend(out, "\n", line.empty() ? "" : std::string(2 * std::max(depth, 1), ' '), line);
        }
      } else {
        out->append(Quoted(value.text()));
      }
      return;
    case Value::Kind::kList:
      if (value.items().empty()) out->append("[]");
      for (const auto& [key, item] : value.items()) {
        absl::StrAppend(out, indent, "-");
        AppendYamlItem(item, depth + 1, true, out);
      }
      return;
    case Value::Kind::kMap:
      if (value.items().empty()) out->append("{}");
      for (const auto& [key, item] : value.items()) {
        absl::StrAppend(out, indent, IsPlainYaml(key) ? key : Quoted(key), ":");
        AppendYamlItem(item, depth + 1, false, out);
      }
      return;
  }
}

}  // namespace

Value Value::String(absl::string_view text) {
  Value value;
  value.kind_ = Kind::kString;
  value.text_ = std::string(text);
  return value;
}

Value Value::Literal(absl::string_view text) {
  Value value = String(text);
  value.kind_ = Kind::kLiteral;
  return value;
}

Value Value::List() {
  Value value;
  value.kind_ = Kind::kList;
  return value;
}

Value Value::Map() {
  Value value;
  value.kind_ = Kind::kMap;
  return value;
}

Value& Value::Add(absl::string_view key, Value value) {
  items_.emplace_back(std::string(key), std::move(value));
  return *this;
}

Value& Value::Append(Value value) { return Add("", std::move(value)); }

std::string ToJson(const Value& value, Layout layout) {
  std::string out;
  AppendJson(value, layout, 0, &out);
  return out + "\n";
}

std::string ToYaml(const Value& value) {
  std::string out;
  AppendYaml(value, 0, &out);
  if (out.empty() || out.back() != '\n') out.push_back('\n');
  return out;
}

}  // namespace stele::osctl
