#include "config/proto_to_yaml.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "config/scalar.h"
#include "config/text_check.h"
#include "stele/machine/v1/options.pb.h"

namespace stele::config {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Letters, digits and marks that mean nothing to YAML inside a word.
bool IsPlainWord(absl::string_view text) {
  if (LooksTyped(text) || text == "<<" || text == "---" || text == "...") return false;
  if (!absl::ascii_isalnum(text[0]) && text[0] != '/' && text[0] != '_' && text[0] != '.') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (absl::ascii_isalnum(c) || absl::StrContains("/_.-+=@", absl::string_view(&c, 1))) continue;
    bool inner = i + 1 < text.size();
    if (c == ':' && inner && text[i + 1] != ' ') continue;
    if (c == ' ' && inner && text[i + 1] != '#' && text[i - 1] != ':') continue;
    return false;
  }
  return text.back() != ':';
}

// A literal block keeps every byte only when no line needs escaping, the first does not start with a
// space (which would set the indentation), and the text does not end in blank lines.
bool FitsBlock(absl::string_view text) {
  return absl::StrContains(text, "\n") && text[0] != ' ' && text[0] != '\n' && text[0] != '\t' &&
         text.substr(text.size() - std::min<size_t>(2, text.size())) != "\n\n" && !HasControlCharacter(text);
}

std::string Text(absl::string_view text, int indent) {
  if (IsPlainWord(text)) return std::string(text);
  if (!FitsBlock(text)) return QuotedYaml(text);
  bool newline = text.back() == '\n';
  std::string block = newline ? "|" : "|-";
  for (absl::string_view line : absl::StrSplit(newline ? text.substr(0, text.size() - 1) : text, '\n')) {
    absl::StrAppend(&block, "\n", line.empty() ? "" : std::string(indent, ' '), line);
  }
  return block;
}

class Printer {
 public:
  explicit Printer(Secrets secrets) : secrets_(secrets) {}

  void PrintMessage(const Message& message, int indent, bool in_list) {
    std::vector<const FieldDescriptor*> fields;
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message.GetDescriptor()->field(i);
      bool set = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) > 0
                                      : message.GetReflection()->HasField(message, field);
      if (set) fields.push_back(field);
    }
    if (fields.empty()) {
      out_ += " {}\n";
      return;
    }
    if (!in_list && indent > 0) out_ += "\n";
    bool first = in_list;  // the first key of a list's element stands behind its dash
    for (const FieldDescriptor* field : fields) {
      absl::StrAppend(&out_, first ? " " : std::string(indent, ' '), field->json_name(), ":");
      first = false;
      PrintField(message, field, indent);
    }
  }

  std::string out_;

 private:
  void PrintField(const Message& message, const FieldDescriptor* field, int indent) {
    const Reflection* reflection = message.GetReflection();
    if (field->is_map()) return PrintMap(message, field, indent + 2);
    if (!field->is_repeated()) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        return PrintMessage(reflection->GetMessage(message, field), indent + 2, false);
      }
      absl::StrAppend(&out_, " ", ScalarOf(message, field, -1, indent + 2), "\n");
      return;
    }
    out_ += "\n";
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      absl::StrAppend(&out_, std::string(indent, ' '), "-");
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        PrintMessage(reflection->GetRepeatedMessage(message, field, i), indent + 2, true);
      } else {
        absl::StrAppend(&out_, " ", ScalarOf(message, field, i, indent + 2), "\n");
      }
    }
  }

  void PrintMap(const Message& message, const FieldDescriptor* field, int indent) {
    const Reflection* reflection = message.GetReflection();
    const FieldDescriptor* key_field = field->message_type()->map_key();
    const FieldDescriptor* value_field = field->message_type()->map_value();
    std::vector<std::pair<std::string, const Message*>> entries;  // sorted: a map has no order of its own
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      const Message& entry = reflection->GetRepeatedMessage(message, field, i);
      entries.emplace_back(ScalarOf(entry, key_field, -1, 0, /*is_key=*/true), &entry);
    }
    std::sort(entries.begin(), entries.end());
    out_ += "\n";
    for (const auto& [key, entry] : entries) {
      absl::StrAppend(&out_, std::string(indent, ' '), key, ":");
      if (value_field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        PrintMessage(entry->GetReflection()->GetMessage(*entry, value_field), indent + 2, false);
      } else if (IsSecret(field)) {
        out_ += " (secret)\n";
      } else {
        absl::StrAppend(&out_, " ", ScalarOf(*entry, value_field, -1, indent + 2), "\n");
      }
    }
  }

  bool IsSecret(const FieldDescriptor* field) const {
    return secrets_ == Secrets::kRedacted && field->options().GetExtension(machine::v1::secret);
  }

  // `index` -1: the field itself, else its element. A key cannot be a block.
  std::string ScalarOf(const Message& message, const FieldDescriptor* field, int index, int indent,
                       bool is_key = false) {
    const Reflection* r = message.GetReflection();
    if (IsSecret(field)) return "(secret)";
    switch (field->cpp_type()) {
#define STELE_NUMBER(TYPE, Name) \
  case FieldDescriptor::TYPE:    \
    return absl::StrCat(index < 0 ? r->Get##Name(message, field) : r->GetRepeated##Name(message, field, index))
      STELE_NUMBER(CPPTYPE_INT32, Int32);
      STELE_NUMBER(CPPTYPE_INT64, Int64);
      STELE_NUMBER(CPPTYPE_UINT32, UInt32);
      STELE_NUMBER(CPPTYPE_UINT64, UInt64);
      STELE_NUMBER(CPPTYPE_DOUBLE, Double);
      STELE_NUMBER(CPPTYPE_FLOAT, Float);
#undef STELE_NUMBER
      case FieldDescriptor::CPPTYPE_BOOL:
        return (index < 0 ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, index)) ? "true" : "false";
      case FieldDescriptor::CPPTYPE_ENUM:
        return (index < 0 ? r->GetEnum(message, field) : r->GetRepeatedEnum(message, field, index))->name();
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string text = index < 0 ? r->GetString(message, field) : r->GetRepeatedString(message, field, index);
        if (field->type() == FieldDescriptor::TYPE_BYTES) return QuotedYaml(absl::Base64Escape(text));
        return is_key && !IsPlainWord(text) ? QuotedYaml(text) : Text(text, indent);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    return "";
  }

  Secrets secrets_;
};

}  // namespace

std::string QuotedYaml(absl::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      absl::StrAppend(&quoted, "\\", absl::string_view(&c, 1));
    } else if (c == '\n') {
      quoted += "\\n";
    } else if (c == '\t') {
      quoted += "\\t";
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7F) {
      absl::StrAppendFormat(&quoted, "\\x%02X", static_cast<uint8_t>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string ProtoToYaml(const Message& message, Secrets secrets) {
  Printer printer(secrets);
  printer.PrintMessage(message, 0, false);
  if (printer.out_ == " {}\n") return "{}\n";
  return std::move(printer.out_);
}

}  // namespace stele::config
