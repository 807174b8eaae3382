#include "config/secrets.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "config/proto_to_yaml.h"
#include "stele/machine/v1/options.pb.h"

namespace stele::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kChangedMark[] = "(secret, changed)";

const FieldDescriptor* FindField(const Descriptor* type, absl::string_view json_name) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == json_name) return type->field(i);
  }
  return nullptr;
}

std::string NameOf(const Message& element) {
  const FieldDescriptor* name = element.GetDescriptor()->FindFieldByName("name");
  if (name == nullptr || name->is_repeated() || name->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return "";
  return element.GetReflection()->GetString(element, name);
}

bool HasName(const Message& element) { return element.GetDescriptor()->FindFieldByName("name") != nullptr; }

// The element of `base`'s list that `element`, at `index` in a list of its own, is another version of.
const Message* SameElement(const Message& base, const FieldDescriptor* list, const Message& element, int index) {
  const auto* reflection = base.GetReflection();
  int size = reflection->FieldSize(base, list);
  if (!HasName(element)) return index < size ? &reflection->GetRepeatedMessage(base, list, index) : nullptr;
  for (int i = 0; i < size; ++i) {
    const Message& candidate = reflection->GetRepeatedMessage(base, list, i);
    if (NameOf(candidate) == NameOf(element)) return &candidate;
  }
  return nullptr;
}

// "staticPods[2]" to its name and index; -1 where it has none.
std::pair<absl::string_view, int> TakeStep(absl::string_view step) {
  size_t bracket = step.find('[');
  if (bracket == absl::string_view::npos) return {step, -1};
  int index = -1;
  if (!absl::SimpleAtoi(step.substr(bracket + 1, step.size() - bracket - 2), &index)) return {step, -1};
  return {step.substr(0, bracket), index};
}

// What `base` has where `message` has `path`; empty where it has nothing.
std::string FindSecret(const std::string& path, const Message* message, const Message* base) {
  std::vector<absl::string_view> steps = absl::StrSplit(path, '.');
  for (size_t i = 0; i < steps.size(); ++i) {
    auto [name, index] = TakeStep(steps[i]);
    const FieldDescriptor* field = FindField(base->GetDescriptor(), name);
    if (field == nullptr || field->is_map()) return "";
    const auto* reflection = base->GetReflection();
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      bool one = i + 1 == steps.size() && !field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
      return one ? reflection->GetString(*base, field) : "";
    }
    if (!field->is_repeated()) {
      message = &message->GetReflection()->GetMessage(*message, field);
      base = &reflection->GetMessage(*base, field);
      continue;
    }
    if (index < 0 || index >= message->GetReflection()->FieldSize(*message, field)) return "";
    const Message& element = message->GetReflection()->GetRepeatedMessage(*message, field, index);
    base = SameElement(*base, field, element, index);
    if (base == nullptr) return "";
    message = &element;
  }
  return "";
}

// Copies a text while pieces of it, told in characters and in order, are replaced.
class Splicer {
 public:
  explicit Splicer(absl::string_view text) : text_(text) {}

  void Replace(size_t begin, size_t end, absl::string_view with) {
    size_t from = ByteOf(begin), to = ByteOf(end);
    // A block ends behind its line breaks, which separate it from what follows.
    while (to > from && (text_[to - 1] == '\n' || text_[to - 1] == '\r' || text_[to - 1] == ' ')) --to;
    absl::StrAppend(&out_, text_.substr(copied_, from - copied_), with);
    copied_ = to;
  }
  std::string Finish() {
    absl::StrAppend(&out_, text_.substr(copied_));
    return std::move(out_);
  }

 private:
  size_t ByteOf(size_t character) {
    while (character_ < character && byte_ < text_.size()) {
      do ++byte_;
      while (byte_ < text_.size() && (static_cast<uint8_t>(text_[byte_]) & 0xC0) == 0x80);
      ++character_;
    }
    return byte_;
  }

  absl::string_view text_;
  std::string out_;
  size_t copied_ = 0, byte_ = 0, character_ = 0;
};

// Replaces every secret of `message` by what `replace` says, given the same secret of `other`, which may be null.
template <typename ReplaceOne>
void ReplaceSecrets(Message* message, const Message* other, const ReplaceOne& replace) {
  const auto* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    bool secret = field->options().GetExtension(machine::v1::secret);
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && secret && !field->is_repeated()) {
      std::string before = other == nullptr ? "" : other->GetReflection()->GetString(*other, field);
      reflection->SetString(message, field, replace(reflection->GetString(*message, field), before));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_map()) {
      if (!field->is_repeated()) {
        const Message* child = other == nullptr ? nullptr : &other->GetReflection()->GetMessage(*other, field);
        ReplaceSecrets(reflection->MutableMessage(message, field), child, replace);
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        Message* element = reflection->MutableRepeatedMessage(message, field, i);
        const Message* same = other == nullptr ? nullptr : SameElement(*other, field, *element, i);
        ReplaceSecrets(element, same, replace);
      }
    }
  }
}

}  // namespace

std::string HideSecrets(absl::string_view yaml, const Message& type) {
  std::unique_ptr<Message> message(type.New());
  std::vector<SecretSpan> secrets;
  if (!ParseYaml(yaml, {}, message.get(), nullptr, nullptr, &secrets).empty()) return "";
  Splicer splicer(yaml);
  for (const SecretSpan& secret : secrets) splicer.Replace(secret.begin, secret.end, kSecretMark);
  return splicer.Finish();
}

RestoredText RestoreSecrets(absl::string_view yaml, const Message& base) {
  RestoredText restored;
  std::unique_ptr<Message> message(base.New());
  std::vector<SecretSpan> secrets;
  // Its problems are the parser's to tell, with those of what is put back.
  ParseYaml(yaml, {}, message.get(), nullptr, nullptr, &secrets);
  Splicer splicer(yaml);
  for (const SecretSpan& secret : secrets) {
    if (!secret.hidden) continue;
    std::string value = FindSecret(secret.path, message.get(), &base);
    if (value.empty()) {
      restored.problems.push_back(
          {secret.mark.line, secret.mark.column, secret.path,
           absl::StrCat("is ", kSecretMark, ", and the running configuration has no secret there to keep")});
    } else {
      splicer.Replace(secret.begin, secret.end, QuotedYaml(value));
    }
  }
  restored.yaml = splicer.Finish();
  return restored;
}

ComparableTexts ToComparable(const Message& before, const Message& after) {
  std::unique_ptr<Message> told(after.New());
  told->CopyFrom(after);
  ReplaceSecrets(told.get(), &before, [](const std::string& value, const std::string& other) {
    return std::string(value == other || other.empty() ? kSecretMark : kChangedMark);
  });
  // Print quotes the marks, which are no plain words.
  std::string text =
      absl::StrReplaceAll(ProtoToYaml(*told, Secrets::kPrinted),
                          {{QuotedYaml(kSecretMark), kSecretMark}, {QuotedYaml(kChangedMark), kChangedMark}});
  return {absl::StrReplaceAll(ProtoToYaml(before, Secrets::kRedacted), {{QuotedYaml(kSecretMark), kSecretMark}}), text};
}

}  // namespace stele::config
