#include "machined/label_selector.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "absl/types/optional.h"
#include "machined/store.h"

namespace stele::machined {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxText = 4096;
constexpr size_t kMaxRequirements = 16;
constexpr size_t kMaxKey = 253 + 1 + 63;  // Kubernetes': prefix/name
constexpr size_t kMaxValue = 63;

const FieldDescriptor* LabelsOf(const Descriptor* type) {
  const FieldDescriptor* field = type->FindFieldByName("labels");
  bool fits = field != nullptr && field->is_map() &&
              field->message_type()->map_key()->cpp_type() == FieldDescriptor::CPPTYPE_STRING &&
              field->message_type()->map_value()->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  return fits ? field : nullptr;
}

std::string TypesWithLabels() {
  std::vector<std::string> names;
  for (const Descriptor* type : ResourceMessages()) {
    if (LabelsOf(type) != nullptr) names.push_back(ResourceTypeOf(type));
  }
  return absl::StrJoin(names, ", ");
}

// Reads the text from left to right.
class Reader {
 public:
  explicit Reader(absl::string_view text) : rest_(text), size_(text.size()) {}

  bool AtEnd() {
    SkipBlanks();
    return rest_.empty();
  }
  bool Take(absl::string_view token) {
    SkipBlanks();
    return absl::ConsumePrefix(&rest_, token);
  }
  // Letters, digits and -_./ up to something else; may be empty.
  std::string Word() {
    SkipBlanks();
    size_t end = 0;
    while (end < rest_.size() && (absl::ascii_isalnum(rest_[end]) || absl::StrContains("-_./", rest_[end]))) ++end;
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return word;
  }
  absl::Status Expected(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("label selector: expected ", what, " at byte ",
                                                   size_ - rest_.size() + 1, ", found ",
                                                   rest_.empty() ? "the end" : Shown()));
  }

 private:
  void SkipBlanks() {
    while (absl::ConsumePrefix(&rest_, " ")) {
    }
  }
  std::string Shown() const {
    std::string text(rest_.substr(0, 20));
    for (char& c : text) c = absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '?';
    return text;
  }

  absl::string_view rest_;
  const size_t size_;
};

absl::StatusOr<std::string> ReadKey(Reader& reader) {
  std::string key = reader.Word();
  if (key.empty()) return reader.Expected("a label's key");
  if (key.size() > kMaxKey) return absl::InvalidArgumentError("label selector: a key longer than any label has");
  return key;
}

absl::StatusOr<std::string> ReadValue(Reader& reader) {
  std::string value = reader.Word();
  if (value.size() > kMaxValue || absl::StrContains(value, '/'))
    return absl::InvalidArgumentError(
        absl::StrCat("label selector: ", value.substr(0, 80), " can be no label's value"));
  return value;
}

absl::StatusOr<std::vector<std::string>> ReadSet(Reader& reader) {
  std::vector<std::string> values;
  if (!reader.Take("(")) return reader.Expected("(");
  do {
    ASSIGN_OR_RETURN(std::string value, ReadValue(reader));
    values.push_back(std::move(value));
  } while (reader.Take(","));
  if (!reader.Take(")")) return reader.Expected(") or another value");
  return values;
}

absl::optional<std::string> ValueOf(const Message& body, const FieldDescriptor* labels, const std::string& key) {
  const auto* reflection = body.GetReflection();
  const Descriptor* entry_type = labels->message_type();
  for (int i = 0; i < reflection->FieldSize(body, labels); ++i) {
    const Message& entry = reflection->GetRepeatedMessage(body, labels, i);
    if (entry.GetReflection()->GetString(entry, entry_type->map_key()) != key) continue;
    return entry.GetReflection()->GetString(entry, entry_type->map_value());
  }
  return absl::nullopt;
}

}  // namespace

absl::StatusOr<LabelSelector> LabelSelector::Parse(absl::string_view text, const Descriptor* type) {
  LabelSelector selector;
  if (text.size() > kMaxText)
    return absl::InvalidArgumentError(absl::StrCat("a label selector of more than ", kMaxText, " bytes"));
  Reader reader(text);
  if (reader.AtEnd()) return selector;
  selector.labels_ = LabelsOf(type);
  if (selector.labels_ == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(ResourceTypeOf(type), " have no labels; these do: ", TypesWithLabels()));
  }
  do {
    Requirement requirement;
    bool absent = reader.Take("!");
    ASSIGN_OR_RETURN(requirement.key, ReadKey(reader));
    requirement.negated = absent;
    if (!absent && !reader.AtEnd()) {
      bool differs = reader.Take("!=");
      if (differs || reader.Take("==") || reader.Take("=")) {
        ASSIGN_OR_RETURN(std::string value, ReadValue(reader));
        requirement.values.push_back(std::move(value));
        requirement.negated = differs;
      } else if (bool outside = reader.Take("notin"); outside || reader.Take("in")) {
        ASSIGN_OR_RETURN(requirement.values, ReadSet(reader));
        requirement.negated = outside;
      }
    }
    if (selector.requirements_.size() == kMaxRequirements) {
      return absl::InvalidArgumentError(
          absl::StrCat("a label selector of more than ", kMaxRequirements, " requirements"));
    }
    selector.requirements_.push_back(std::move(requirement));
  } while (reader.Take(","));
  if (!reader.AtEnd()) return reader.Expected("a comma, =, !=, in or notin");
  return selector;
}

bool LabelSelector::Fits(const Message& body) const {
  for (const Requirement& requirement : requirements_) {
    absl::optional<std::string> value = ValueOf(body, labels_, requirement.key);
    const auto& values = requirement.values;
    bool fits =
        value.has_value() && (values.empty() || std::find(values.begin(), values.end(), *value) != values.end());
    if (fits == requirement.negated) return false;
  }
  return true;
}

}  // namespace stele::machined
