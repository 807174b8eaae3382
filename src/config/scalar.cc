#include "config/scalar.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "config/name_hint.h"

namespace stele::config {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What was found, for the end of a sentence. Long or strange values are not repeated: they may be secret.
std::string Found(const Scalar& scalar) {
  if (scalar.value.empty()) return scalar.plain ? ", found nothing" : ", found an empty text";
  if (!scalar.plain) return ", found a quoted text";
  return "";
}

// Decimal digits with an optional sign: not 0x1f, 1_000, 017 or 1e3, which readers take apart.
bool IsDecimal(absl::string_view text) {
  if (!text.empty() && text[0] == '-') text.remove_prefix(1);
  if (text.empty() || (text[0] == '0' && text.size() > 1)) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isdigit(c); });
}

template <typename Integer, typename Store>
std::string StoreInteger(const Scalar& scalar, Store store) {
  Integer value;
  if (scalar.plain && IsDecimal(scalar.value) && absl::SimpleAtoi(scalar.value, &value)) {
    store(value);
    return "";
  }
  return absl::StrCat("expected a whole number from ", std::numeric_limits<Integer>::min(), " to ",
                      std::numeric_limits<Integer>::max(), Found(scalar));
}

std::string EnumNames(const FieldDescriptor* field, std::vector<std::string>* names) {
  for (int i = 0; i < field->enum_type()->value_count(); ++i) {
    const EnumValueDescriptor* value = field->enum_type()->value(i);
    if (value->number() != 0) names->push_back(value->name());
  }
  return absl::StrJoin(*names, ", ");
}

std::string StoreEnum(const Scalar& scalar, const FieldDescriptor* field, Message* message) {
  std::vector<std::string> names;
  std::string all = EnumNames(field, &names);
  const EnumValueDescriptor* value = field->enum_type()->FindValueByName(scalar.value);
  if (value == nullptr || value->number() == 0) {
    std::string nearest = NearestName(scalar.value, names);
    return absl::StrCat("expected one of ", all, nearest.empty() ? "" : absl::StrCat("; did you mean ", nearest, "?"));
  }
  if (field->is_repeated()) {
    message->GetReflection()->AddEnum(message, field, value);
  } else {
    message->GetReflection()->SetEnum(message, field, value);
  }
  return "";
}

std::string StoreText(const Scalar& scalar, const FieldDescriptor* field, Message* message) {
  if (scalar.plain && scalar.value.empty()) return "expected a text, found nothing";
  if (scalar.plain && LooksTyped(scalar.value)) {
    return "expected a text; YAML reads this as a number, truth value or null: put it in quotes";
  }
  std::string value = scalar.value;
  if (field->type() == FieldDescriptor::TYPE_BYTES && !absl::Base64Unescape(scalar.value, &value)) {
    return "expected base64";
  }
  if (field->is_repeated()) {
    message->GetReflection()->AddString(message, field, value);
  } else {
    message->GetReflection()->SetString(message, field, value);
  }
  return "";
}

bool IsNumber(absl::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return false;
  std::string lower = absl::AsciiStrToLower(text);
  if (lower == ".inf" || lower == ".nan") return true;
  if (!absl::ascii_isdigit(lower[0]) && !(lower[0] == '.' && lower.size() > 1 && absl::ascii_isdigit(lower[1]))) {
    return false;
  }
  // 0x1f, 0o17, 0b1, 1_000, 1.5e-3 and base 60 (12:30:45): every reader's numbers.
  if (absl::StartsWith(lower, "0x")) return lower.find_first_not_of("0123456789abcdef_", 2) == std::string::npos;
  if (absl::StartsWith(lower, "0o") || absl::StartsWith(lower, "0b")) {
    return lower.find_first_not_of("01234567_", 2) == std::string::npos;
  }
  if (lower.find_first_not_of("0123456789:") == std::string::npos) return lower.back() != ':';
  std::string digits;
  std::copy_if(lower.begin(), lower.end(), std::back_inserter(digits), [](char c) { return c != '_'; });
  double value;
  return lower.find_first_not_of("0123456789_.e+-") == std::string::npos && absl::SimpleAtod(digits, &value);
}

}  // namespace

bool LooksTyped(absl::string_view text) {
  static constexpr absl::string_view kWords[] = {"~", "null", "true", "false", "yes", "no", "on", "off"};
  std::string lower = absl::AsciiStrToLower(text);
  return text.empty() || std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords) || IsNumber(text);
}

std::string ExpectedShape(const FieldDescriptor* field) {
  if (field->is_map()) return "a mapping of names to values";
  if (field->is_repeated()) return "a list";
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "a mapping";
    case FieldDescriptor::CPPTYPE_STRING:
      return "a text";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "a word";
    default:
      return "a number";
  }
}

std::string StoreScalar(const Scalar& scalar, const FieldDescriptor* field, Message* message) {
  const google::protobuf::Reflection* reflection = message->GetReflection();
  bool add = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return StoreInteger<int32_t>(scalar, [&](int32_t v) {
        add ? reflection->AddInt32(message, field, v) : reflection->SetInt32(message, field, v);
      });
    case FieldDescriptor::CPPTYPE_INT64:
      return StoreInteger<int64_t>(scalar, [&](int64_t v) {
        add ? reflection->AddInt64(message, field, v) : reflection->SetInt64(message, field, v);
      });
    case FieldDescriptor::CPPTYPE_UINT32:
      return StoreInteger<uint32_t>(scalar, [&](uint32_t v) {
        add ? reflection->AddUInt32(message, field, v) : reflection->SetUInt32(message, field, v);
      });
    case FieldDescriptor::CPPTYPE_UINT64:
      return StoreInteger<uint64_t>(scalar, [&](uint64_t v) {
        add ? reflection->AddUInt64(message, field, v) : reflection->SetUInt64(message, field, v);
      });
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value;
      if (!scalar.plain || !absl::SimpleAtod(scalar.value, &value)) return "expected a number";
      add ? reflection->AddDouble(message, field, value) : reflection->SetDouble(message, field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_FLOAT: {
      float value;
      if (!scalar.plain || !absl::SimpleAtof(scalar.value, &value)) return "expected a number";
      add ? reflection->AddFloat(message, field, value) : reflection->SetFloat(message, field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      bool value = scalar.value == "true";
      if (!scalar.plain || (!value && scalar.value != "false"))
        return absl::StrCat("expected true or false", Found(scalar));
      add ? reflection->AddBool(message, field, value) : reflection->SetBool(message, field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return StoreEnum(scalar, field, message);
    case FieldDescriptor::CPPTYPE_STRING:
      return StoreText(scalar, field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return absl::StrCat("expected ", ExpectedShape(field), Found(scalar));
}

}  // namespace stele::config
