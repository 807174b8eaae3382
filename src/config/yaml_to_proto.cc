#include "config/yaml_to_proto.h"

#include <set>

#include "absl/strings/str_join.h"
#include "config/name_hint.h"
#include "config/scalar.h"
#include "config/text_check.h"
#include "config/yaml_events.h"
#include "stele/machine/v1/options.pb.h"

namespace stele::config {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxKey = 256;

std::vector<std::string> KeysOf(const Descriptor* type) {
  std::vector<std::string> keys;
  for (int i = 0; i < type->field_count(); ++i) keys.push_back(type->field(i)->json_name());
  return keys;
}

const FieldDescriptor* FindField(const Descriptor* type, absl::string_view key) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == key) return type->field(i);
  }
  return nullptr;
}

std::string Join(const std::string& path, absl::string_view key) {
  return path.empty() ? std::string(key) : absl::StrCat(path, ".", key);
}

std::string UnknownKey(absl::string_view key, const Descriptor* type) {
  std::vector<std::string> known = KeysOf(type);
  std::string nearest = NearestName(key, known);
  if (!nearest.empty()) return absl::StrCat("unknown key '", key, "'; did you mean '", nearest, "'?");
  return absl::StrCat("unknown key '", key, "'; known here: ", absl::StrJoin(known, ", "));
}

// Walks events and a message's descriptor side by side. Each Read* starts at its node's first event
// and leaves at the one after its last.
class Reader {
 public:
  Reader(absl::string_view yaml, const ParseOptions& options, std::vector<Problem>* warnings, MarkMap* marks,
         std::vector<SecretSpan>* secrets)
      : events_(yaml, options.max_nodes, options.max_depth),
        options_(options),
        warnings_(warnings),
        marks_(marks),
        secrets_(secrets) {}

  std::vector<Problem> ReadDocument(Message* out) {
    events_.Next();  // stream start
    events_.Next();
    if (events_.type() == YAML_STREAM_END_EVENT) {
      Report({1, 1}, "", "expected a mapping, found an empty text");
      return std::move(problems_);
    }
    events_.Next();  // document start
    if (!events_.failed()) ReadMessage("", out);
    while (!events_.failed() && events_.type() != YAML_STREAM_END_EVENT)
      events_.Next();  // a second document fails here
    if (events_.failed()) {
      problems_.push_back(events_.problem());
      if (problems_.back().path.empty()) problems_.back().path = path_at_failure_;
    }
    SortProblems(&problems_);
    return std::move(problems_);
  }

 private:
  void Report(Mark mark, const std::string& path, std::string reason) {
    // More than are shown, since they are not met in order; bounded all the same.
    if (problems_.size() < 8 * kMaxProblems) problems_.push_back({mark.line, mark.column, path, std::move(reason)});
  }

  void ReportAndSkip(const std::string& path, std::string reason) {
    Report(events_.mark(), path, std::move(reason));
    events_.Skip();
  }

  void Remember(const std::string& path) {
    path_at_failure_ = path;
    if (marks_ != nullptr) marks_->emplace(path, events_.mark());
  }

  // Reads a key; false when it was reported and its value skipped, or the stream ended.
  bool ReadKey(const std::string& path, std::set<std::string>* seen, std::string* key, Mark* mark) {
    *mark = events_.mark();
    if (events_.type() != YAML_SCALAR_EVENT || events_.scalar().size() > kMaxKey) {
      Report(*mark, path, absl::StrCat("expected a key, a word of at most ", kMaxKey, " letters"));
    } else if (HasControlCharacter(events_.scalar())) {
      Report(*mark, path, "control characters are not allowed in a key");
    } else if (events_.plain() && events_.scalar() == "<<") {
      Report(*mark, path, "merge keys (<<) are not allowed");
    } else {
      *key = std::string(events_.scalar());
      path_at_failure_ = Join(path, *key);
      if (seen->insert(*key).second) return events_.Next();
      Report(*mark, Join(path, *key), absl::StrCat("duplicate key '", *key, "'"));
    }
    if (events_.Skip()) events_.Skip();
    return false;
  }

  void ReadMessage(const std::string& path, Message* message) {
    if (events_.type() != YAML_MAPPING_START_EVENT) {
      bool empty = events_.type() == YAML_SCALAR_EVENT && events_.plain() && events_.scalar().empty();
      return ReportAndSkip(path, absl::StrCat("expected a mapping (key: value)", empty ? ", found nothing" : ""));
    }
    Mark mark = events_.mark();
    const Descriptor* type = message->GetDescriptor();
    std::set<std::string> seen;
    events_.Next();
    while (!events_.failed() && events_.type() != YAML_MAPPING_END_EVENT) {
      std::string key;
      Mark key_mark;
      if (!ReadKey(path, &seen, &key, &key_mark)) continue;
      const FieldDescriptor* field = FindField(type, key);
      if (field != nullptr) {
        ReadField(Join(path, key), field, message);
        continue;
      }
      if (!options_.tolerate_unknown_keys) {
        Report(key_mark, Join(path, key), UnknownKey(key, type));
      } else if (warnings_ != nullptr && warnings_->size() < kMaxProblems) {
        warnings_->push_back(
            {key_mark.line, key_mark.column, Join(path, key), absl::StrCat("unknown key '", key, "' is ignored")});
      }
      events_.Skip();
    }
    if (events_.failed()) return;
    CheckRequired(path, mark, seen, *message);
    path_at_failure_ = path;
    events_.Next();
  }

  void CheckRequired(const std::string& path, Mark mark, const std::set<std::string>& seen, const Message& message) {
    const Descriptor* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (!field->options().GetExtension(machine::v1::required) || seen.count(field->json_name()) != 0) continue;
      Report(mark, Join(path, field->json_name()), absl::StrCat("missing; expected ", ExpectedShape(field)));
    }
  }

  void ReadField(const std::string& path, const FieldDescriptor* field, Message* message) {
    Remember(path);
    if (field->is_map()) return ReadMap(path, field, message);
    if (!field->is_repeated()) return ReadValue(path, field, message);
    if (events_.type() != YAML_SEQUENCE_START_EVENT) {
      return ReportAndSkip(path,
                           absl::StrCat("expected a list (- value)", field->message_type() ? " of mappings" : ""));
    }
    events_.Next();
    for (size_t i = 0; !events_.failed() && events_.type() != YAML_SEQUENCE_END_EVENT; ++i) {
      std::string element = absl::StrCat(path, "[", i, "]");
      Remember(element);
      ReadValue(element, field, message);
    }
    events_.Next();
  }

  // One value; an element where the field is repeated.
  void ReadValue(const std::string& path, const FieldDescriptor* field, Message* message) {
    const google::protobuf::Reflection* reflection = message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      return ReadMessage(path, field->is_repeated() ? reflection->AddMessage(message, field)
                                                    : reflection->MutableMessage(message, field));
    }
    if (events_.type() != YAML_SCALAR_EVENT) {
      return ReportAndSkip(path, absl::StrCat("expected ", ExpectedElement(field), ", found a ",
                                              events_.type() == YAML_SEQUENCE_START_EVENT ? "list" : "mapping"));
    }
    if (secrets_ != nullptr && field->options().GetExtension(machine::v1::secret) && !events_.scalar().empty()) {
      secrets_->push_back(
          {path, events_.mark(), events_.begin(), events_.end(), events_.scalar() == absl::string_view(kSecretMark)});
    }
    if (HasControlCharacter(events_.scalar()))
      return ReportAndSkip(path, "control characters are not allowed in a value");
    std::string wrong = StoreScalar({std::string(events_.scalar()), events_.plain()}, field, message);
    if (wrong.empty() && events_.scalar().empty() && field->options().GetExtension(machine::v1::required)) {
      wrong = "must not be empty";
    }
    if (!wrong.empty()) return ReportAndSkip(path, std::move(wrong));
    events_.Next();
  }

  static std::string ExpectedElement(const FieldDescriptor* field) {
    return field->is_repeated() ? "a single value" : ExpectedShape(field);
  }

  // map<string, scalar or message>: an entry is a message with the fields key and value.
  void ReadMap(const std::string& path, const FieldDescriptor* field, Message* message) {
    if (events_.type() != YAML_MAPPING_START_EVENT) {
      return ReportAndSkip(path, absl::StrCat("expected ", ExpectedShape(field)));
    }
    std::set<std::string> seen;
    events_.Next();
    while (!events_.failed() && events_.type() != YAML_MAPPING_END_EVENT) {
      std::string key;
      Mark key_mark;
      if (!ReadKey(path, &seen, &key, &key_mark)) continue;
      Message* entry = message->GetReflection()->AddMessage(message, field);
      std::string wrong = StoreScalar({key, false}, field->message_type()->map_key(), entry);
      if (!wrong.empty()) Report(key_mark, Join(path, key), wrong);
      Remember(Join(path, key));
      ReadValue(Join(path, key), field->message_type()->map_value(), entry);
    }
    events_.Next();
  }

  YamlEvents events_;
  const ParseOptions& options_;
  std::vector<Problem>* warnings_;
  MarkMap* marks_;
  std::vector<SecretSpan>* secrets_;
  std::vector<Problem> problems_;
  std::string path_at_failure_;  // the last value begun: where broken YAML is, as nearly as is known
};

}  // namespace

std::vector<Problem> ParseYaml(absl::string_view yaml, const ParseOptions& options, Message* out,
                               std::vector<Problem>* warnings, MarkMap* marks, std::vector<SecretSpan>* secrets) {
  if (yaml.size() > options.max_bytes) {
    return {
        {1, 1, "", absl::StrCat("the text has ", yaml.size(), " bytes; at most ", options.max_bytes, " are allowed")}};
  }
  if (std::optional<Problem> problem = CheckText(yaml)) return {*problem};
  return Reader(yaml, options, warnings, marks, secrets).ReadDocument(out);
}

}  // namespace stele::config
