#include "osctl/explain/explain.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <functional>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "config/name_hint.h"
#include "osctl/explain/field_notes.h"
#include "osctl/failure.h"
#include "osctl/output/resource.h"
#include "stele/config/v1/machine_config.pb.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/proto_comments.h"

namespace stele::osctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

const Descriptor* ConfigType() { return stele::config::v1::MachineConfig::descriptor(); }

absl::string_view CommentOf(const std::string& full_name) {
  const ProtoComment* found =
      std::lower_bound(std::begin(kProtoComments), std::end(kProtoComments), full_name,
                       [](const ProtoComment& comment, const std::string& name) { return comment.name < name; });
  return found != std::end(kProtoComments) && found->name == full_name ? found->text : "";
}

bool IsTime(const FieldDescriptor* field) { return field->message_type() == google::protobuf::Timestamp::descriptor(); }
bool IsDuration(const FieldDescriptor* field) {
  return field->message_type() == google::protobuf::Duration::descriptor();
}
// What has keys of its own below it.
const Descriptor* BelowOf(const FieldDescriptor* field) {
  bool leaf = field->is_map() || field->message_type() == nullptr || IsTime(field) || IsDuration(field);
  return leaf ? nullptr : field->message_type();
}

std::string KindOf(const FieldDescriptor* field) {
  if (field->is_map()) return "names to texts";
  std::string kind = "number";
  if (BelowOf(field) != nullptr) kind = "keys";
  if (IsTime(field)) kind = "time";
  if (IsDuration(field)) kind = "duration";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) kind = "text";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) kind = "true or false";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) kind = "word";
  if (field->is_repeated()) kind = absl::StrCat("list of ", kind);
  if (field->options().GetExtension(machine::v1::required)) kind += ", required";
  if (field->options().GetExtension(machine::v1::secret)) kind += ", secret";
  return kind;
}

// Terms, kinds and texts in three columns; the last one wraps.
struct Entry {
  std::string term, kind, text;
};

std::string Columns(const std::vector<Entry>& entries, size_t width) {
  size_t terms = 0, kinds = 0;
  for (const Entry& entry : entries) {
    terms = std::max(terms, entry.term.size());
    kinds = std::max(kinds, entry.kind.size());
  }
  size_t indent = 2 + terms + 2 + (kinds == 0 ? 0 : kinds + 2);
  std::string out;
  for (const Entry& entry : entries) {
    std::string line = absl::StrCat("  ", entry.term, std::string(terms - entry.term.size() + 2, ' '));
    if (kinds != 0) absl::StrAppend(&line, entry.kind, std::string(kinds - entry.kind.size() + 2, ' '));
    absl::StrAppend(&out, line, Wrapped(entry.text, indent, width), "\n");
  }
  return out;
}

std::vector<Entry> EntriesOf(const Descriptor* type) {
  std::vector<Entry> entries;
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    entries.push_back({field->json_name(), KindOf(field), std::string(CommentOf(field->full_name()))});
  }
  return entries;
}

std::vector<std::string> KeysOf(const Descriptor* type) {
  std::vector<std::string> keys;
  for (int i = 0; i < type->field_count(); ++i) keys.push_back(type->field(i)->json_name());
  return keys;
}

const FieldDescriptor* FindKey(const Descriptor* type, absl::string_view key) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == key) return type->field(i);
  }
  return nullptr;
}

// The field at the end of `keys` below `type`, which `at` is the name of.
absl::StatusOr<const FieldDescriptor*> Descend(const Descriptor* type, std::string at,
                                               const std::vector<std::string>& keys) {
  const FieldDescriptor* field = nullptr;
  for (const std::string& key : keys) {
    if (type == nullptr) {
      return Failure(absl::StatusCode::kNotFound, ExitCode::kNotFound,
                     absl::StrCat("'", at, "' holds ", KindOf(field), ": there is no '", key, "' below it"),
                     absl::StrCat("see `osctl explain ", at, "`"));
    }
    field = FindKey(type, key);
    if (field == nullptr) {
      std::string nearest = config::NearestName(key, KeysOf(type));
      return Failure(absl::StatusCode::kNotFound, ExitCode::kNotFound, absl::StrCat("'", at, "' has no '", key, "'"),
                     nearest.empty() ? absl::StrCat("`osctl explain ", at, "` lists what it has")
                                     : absl::StrCat("did you mean '", at, ".", nearest, "'?"));
    }
    absl::StrAppend(&at, at.empty() ? "" : ".", key);
    type = BelowOf(field);
  }
  return field;
}

void AppendNote(absl::string_view name, absl::string_view text, size_t width, std::string* out) {
  constexpr size_t kIndent = 10;
  if (text.empty()) return;
  absl::StrAppend(out, name, std::string(kIndent - name.size(), ' '), Wrapped(text, kIndent, width), "\n");
}

std::string Indented(absl::string_view text) {
  std::string out;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) absl::StrAppend(&out, "  ", line, "\n");
  return out;
}

void AppendBelow(const FieldDescriptor* field, size_t width, std::string* out) {
  if (const Descriptor* below = BelowOf(field); below != nullptr) {
    absl::StrAppend(out, "\nKeys:\n", Columns(EntriesOf(below), width));
  }
  if (const EnumDescriptor* words = field->enum_type(); words != nullptr) {
    std::vector<Entry> entries;
    for (int i = 0; i < words->value_count(); ++i) {
      std::string text = EnumText(words->value(i));
      if (!text.empty()) entries.push_back({text, "", std::string(CommentOf(words->value(i)->full_name()))});
    }
    absl::StrAppend(out, "\nWords:\n", Columns(entries, width));
  }
}

// The field's own comment, and its message's where that says more.
std::string CommentsOf(const FieldDescriptor* field, size_t width) {
  std::string out = absl::StrCat(Wrapped(CommentOf(field->full_name()), 0, width), "\n");
  if (const Descriptor* below = BelowOf(field); below != nullptr) {
    absl::string_view more = CommentOf(below->full_name());
    if (!more.empty()) absl::StrAppend(&out, Wrapped(more, 0, width), "\n");
  }
  return out;
}

std::string ConfigField(const std::string& path, const FieldDescriptor* field, size_t width) {
  FieldNotes notes = NotesOf(path);
  std::string out = absl::StrCat(path, "  <", KindOf(field), ">\n\n", CommentsOf(field, width), "\n");
  AppendNote("Default:", notes.otherwise, width, &out);
  AppendNote("Limits:", notes.limits, width, &out);
  AppendNote("Change:", notes.change, width, &out);
  AppendBelow(field, width, &out);
  if (!notes.example.empty()) absl::StrAppend(&out, "\nExample:\n", Indented(notes.example));
  return out;
}

std::string ResourceText(const ResourceType& type, size_t width) {
  std::string also = type.aliases.empty() ? "" : absl::StrCat(" (also ", absl::StrJoin(type.aliases, ", "), ")");
  return absl::StrCat("resource ", type.name, also, "\n\n", Wrapped(CommentOf(type.message->full_name()), 0, width),
                      "\n\nFields:\n", Columns(EntriesOf(type.message), width), "\n`osctl get ", type.name,
                      "` shows them; -o json has all that are here by these names.\n");
}

std::string ResourceField(const std::string& path, const FieldDescriptor* field, size_t width) {
  std::string out = absl::StrCat(path, "  <", KindOf(field), ">\n\n", CommentsOf(field, width));
  if (field->options().HasExtension(machine::v1::column)) {
    const auto& column = field->options().GetExtension(machine::v1::column);
    absl::StrAppend(&out, "\nColumn ", column.header(), column.wide() ? " of `osctl get -o wide`.\n" : ".\n");
  }
  AppendBelow(field, width, &out);
  return out;
}

std::string Overview(size_t width) {
  std::vector<std::string> names;
  for (const ResourceType& type : ResourceTypes()) names.push_back(type.name);
  return absl::StrCat("The configuration:\n", Columns(EntriesOf(ConfigType()), width), "\nResource types:\n  ",
                      Wrapped(absl::StrJoin(names, " "), 2, width),
                      "\n\n`osctl explain network.interfaces` goes on below a key, `osctl explain services` tells of a "
                      "resource type.\n");
}

// "interfaces[0]" and "interfaces[]" are interfaces.
std::vector<std::string> KeysIn(absl::string_view path) {
  std::vector<std::string> keys;
  for (absl::string_view part : absl::StrSplit(path, '.', absl::SkipEmpty())) {
    keys.emplace_back(part.substr(0, part.find('[')));
  }
  return keys;
}

// With what `path` begins: neither a key nor a resource type.
absl::Status UnknownName(const std::string& name) {
  std::vector<std::string> known = KeysOf(ConfigType());
  for (const ResourceType& type : ResourceTypes()) {
    known.push_back(type.name);
    known.insert(known.end(), type.aliases.begin(), type.aliases.end());
  }
  std::string nearest = config::NearestName(name, known);
  return Failure(absl::StatusCode::kNotFound, ExitCode::kNotFound,
                 absl::StrCat("'", name, "' is no key of the configuration and no resource type"),
                 nearest.empty() ? "`osctl explain` lists them" : absl::StrCat("did you mean '", nearest, "'?"));
}

using Visit = std::function<void(const std::string& path, const FieldDescriptor* field)>;

void ForEachKey(const Descriptor* type, const std::string& path, const Visit& visit) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    std::string below = absl::StrCat(path, path.empty() ? "" : ".", field->json_name());
    visit(below, field);
    if (BelowOf(field) != nullptr) ForEachKey(BelowOf(field), below, visit);
  }
}

}  // namespace

std::string Wrapped(absl::string_view text, size_t indent, size_t width) {
  std::string out;
  size_t used = indent;
  for (absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    size_t wide = static_cast<size_t>(
        std::count_if(word.begin(), word.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
    if (used > indent && used + 1 + wide > width) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      used = indent;
    }
    if (used > indent) out += ' ', ++used;
    out.append(word.data(), word.size());
    used += wide;
  }
  return out;
}

absl::StatusOr<std::string> Explain(absl::string_view path, size_t width) {
  std::vector<std::string> keys = KeysIn(path);
  if (keys.empty()) return Overview(width);
  const ResourceType* type = FindResourceType(keys.front());
  if (FindKey(ConfigType(), keys.front()) == nullptr) {
    if (type == nullptr) return UnknownName(keys.front());
    if (keys.size() == 1) return ResourceText(*type, width);
    ASSIGN_OR_RETURN(const FieldDescriptor* field, Descend(type->message, keys[0], {keys.begin() + 1, keys.end()}));
    keys.front() = type->name;
    return ResourceField(absl::StrJoin(keys, "."), field, width);
  }
  std::vector<std::string> below(keys.begin() + 1, keys.end());
  const FieldDescriptor* field = FindKey(ConfigType(), keys.front());
  if (!below.empty()) {
    if (BelowOf(field) == nullptr) {
      // Descend tells it, from the root on.
      return Descend(ConfigType(), "", keys).status();
    }
    ASSIGN_OR_RETURN(field, Descend(BelowOf(field), keys.front(), below));
  }
  std::string out = ConfigField(absl::StrJoin(keys, "."), field, width);
  // `time` is both.
  if (keys.size() == 1 && type != nullptr) {
    absl::StrAppend(&out, "\nThere is a resource type of this name, too: `osctl explain ",
                    type->name == keys.front() && !type->aliases.empty() ? type->aliases.front() : type->name, "`.\n");
  }
  return out;
}

std::string ExplainTree() {
  std::vector<Entry> entries;
  ForEachKey(ConfigType(), "", [&](const std::string& path, const FieldDescriptor* field) {
    entries.push_back({path, "", KindOf(field)});
  });
  return Columns(entries, SIZE_MAX);
}

std::vector<std::string> ExplainedPaths() {
  std::vector<std::string> paths;
  ForEachKey(ConfigType(), "", [&](const std::string& path, const FieldDescriptor*) { paths.push_back(path); });
  for (const ResourceType& type : ResourceTypes()) paths.push_back(type.name);
  return paths;
}

}  // namespace stele::osctl
