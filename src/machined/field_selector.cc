#include "machined/field_selector.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "config/name_hint.h"
#include "machined/proto_enum.h"

namespace stele::machined {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxConditions = 16;

// `pattern` may hold stars, each for any text.
bool Matches(absl::string_view text, absl::string_view pattern) {
  size_t star = pattern.find('*');
  if (star == absl::string_view::npos) return text == pattern;
  if (!absl::StartsWith(text, pattern.substr(0, star))) return false;
  text.remove_prefix(star);
  pattern.remove_prefix(star + 1);
  // Each part as early as it comes; the last one at the end.
  for (size_t next; (next = pattern.find('*')) != absl::string_view::npos; pattern.remove_prefix(next + 1)) {
    size_t at = text.find(pattern.substr(0, next));
    if (at == absl::string_view::npos) return false;
    text.remove_prefix(at + next);
  }
  return absl::EndsWith(text, pattern);
}

const FieldDescriptor* FindField(const Descriptor* message, const std::string& name) {
  for (int i = 0; i < message->field_count(); ++i) {
    if (message->field(i)->name() == name || message->field(i)->json_name() == name) return message->field(i);
  }
  return nullptr;
}

absl::Status UnknownField(const Descriptor* message, const std::string& name) {
  std::vector<std::string> names;
  for (int i = 0; i < message->field_count(); ++i) names.push_back(message->field(i)->json_name());
  std::string near = config::NearestName(name, names);
  return absl::InvalidArgumentError(absl::StrCat("field selector: ", message->name(), " has no field ", name,
                                                 near.empty() ? "" : absl::StrCat(", did you mean ", near), "?"));
}

// SERVICE_STATE_RUNNING fits itself and "running".
bool EnumFits(const google::protobuf::EnumValueDescriptor* value, absl::string_view wanted) {
  if (Matches(value->name(), wanted)) return true;
  return value->number() != 0 && absl::EqualsIgnoreCase(ShortName(value), wanted);
}

// One value: the field itself (index −1) or one element of it.
bool ScalarFits(const Message& m, const FieldDescriptor* field, int index, absl::string_view wanted) {
  const Reflection* r = m.GetReflection();
  bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return Matches(one ? r->GetString(m, field) : r->GetRepeatedString(m, field, index), wanted);
    case FieldDescriptor::CPPTYPE_BOOL:
      return Matches((one ? r->GetBool(m, field) : r->GetRepeatedBool(m, field, index)) ? "true" : "false", wanted);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumFits(one ? r->GetEnum(m, field) : r->GetRepeatedEnum(m, field, index), wanted);
    case FieldDescriptor::CPPTYPE_INT32:
      return Matches(absl::StrCat(one ? r->GetInt32(m, field) : r->GetRepeatedInt32(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_INT64:
      return Matches(absl::StrCat(one ? r->GetInt64(m, field) : r->GetRepeatedInt64(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_UINT32:
      return Matches(absl::StrCat(one ? r->GetUInt32(m, field) : r->GetRepeatedUInt32(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_UINT64:
      return Matches(absl::StrCat(one ? r->GetUInt64(m, field) : r->GetRepeatedUInt64(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Matches(absl::StrCat(one ? r->GetDouble(m, field) : r->GetRepeatedDouble(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Matches(absl::StrCat(one ? r->GetFloat(m, field) : r->GetRepeatedFloat(m, field, index)), wanted);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return false;  // Parse refuses a path that ends in one
  }
  return false;
}

bool AnyFits(const Message& message, const std::vector<const FieldDescriptor*>& fields, size_t level,
             absl::string_view wanted) {
  const FieldDescriptor* field = fields[level];
  const Reflection* r = message.GetReflection();
  bool last = level + 1 == fields.size();
  if (!field->is_repeated()) {
    return last ? ScalarFits(message, field, -1, wanted)
                : AnyFits(r->GetMessage(message, field), fields, level + 1, wanted);
  }
  for (int i = 0; i < r->FieldSize(message, field); ++i) {
    if (last ? ScalarFits(message, field, i, wanted)
             : AnyFits(r->GetRepeatedMessage(message, field, i), fields, level + 1, wanted))
      return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<FieldSelector> FieldSelector::Parse(absl::string_view text, const Descriptor* type) {
  FieldSelector selector;
  if (text.size() > kMaxText)
    return absl::InvalidArgumentError(absl::StrCat("a field selector of more than ", kMaxText, " bytes"));
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    size_t equals = part.find('=');
    if (equals == absl::string_view::npos || equals == 0)
      return absl::InvalidArgumentError(
          absl::StrCat("field selector: expected FIELD=VALUE or FIELD!=VALUE, found ", part));
    Condition condition;
    absl::string_view name = part.substr(0, equals);
    condition.negated = absl::ConsumeSuffix(&name, "!");
    condition.value = std::string(part.substr(equals + 1 + (absl::StartsWith(part.substr(equals + 1), "=") ? 1 : 0)));
    condition.name = std::string(name);
    const Descriptor* message = name == "id" || name == "owner" ? nullptr : type;
    for (const std::string& word : std::vector<std::string>(absl::StrSplit(name, '.'))) {
      if (name == "id" || name == "owner") break;
      const FieldDescriptor* field = message == nullptr ? nullptr : FindField(message, word);
      if (field == nullptr && message != nullptr) return UnknownField(message, word);
      if (field == nullptr)
        return absl::InvalidArgumentError(absl::StrCat("field selector: there is nothing below ", name));
      condition.fields.push_back(field);
      message = field->message_type();
    }
    if (message != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("field selector: ", name, " has fields of its own: name one of them, as in ", name, ".",
                       message->field_count() > 0 ? message->field(0)->json_name() : "x", "=…"));
    }
    if (selector.conditions_.size() == kMaxConditions)
      return absl::InvalidArgumentError(absl::StrCat("a field selector of more than ", kMaxConditions, " conditions"));
    selector.conditions_.push_back(std::move(condition));
  }
  return selector;
}

bool FieldSelector::Fits(absl::string_view id, absl::string_view owner, const Message& body) const {
  for (const Condition& condition : conditions_) {
    bool fits = condition.fields.empty() ? Matches(condition.name == "id" ? id : owner, condition.value)
                                         : AnyFits(body, condition.fields, 0, condition.value);
    if (fits == condition.negated) return false;
  }
  return true;
}

}  // namespace stele::machined
