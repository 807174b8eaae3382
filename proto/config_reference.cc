// Makes from the config's proto what people and editors need: a reference page (docs/config-reference.md)
// and a JSON Schema (docs/config.schema.json). Comments and options of the proto are all they know. And for `osctl
// explain` the comments of the config and of the resources, which generated code does not have
// (stele/proto_comments.h).
//
//   config_reference --descriptors FILE --markdown FILE --schema FILE --comments FILE
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;

constexpr char kRoot[] = "stele.config.v1.MachineConfig";

// A comment as one line.
template <typename Thing>
std::string CommentOf(const Thing* thing) {
  google::protobuf::SourceLocation location;
  if (!thing->GetSourceLocation(&location)) return "";
  std::istringstream words(location.leading_comments);
  std::string line, word;
  while (words >> word) line += (line.empty() ? "" : " ") + word;
  return line;
}

// Whether one of our options (options.proto), which are all bool here, is set: they are unknown to the
// descriptor's own pool and so looked at through this one.
bool HasOption(const DescriptorPool& pool, const FieldDescriptor* field, const char* name) {
  const FieldDescriptor* extension = pool.FindExtensionByName(std::string("stele.machine.v1.") + name);
  const Descriptor* type = pool.FindMessageTypeByName("google.protobuf.FieldOptions");
  if (extension == nullptr || type == nullptr) return false;
  google::protobuf::DynamicMessageFactory factory(&pool);
  std::unique_ptr<google::protobuf::Message> options(factory.GetPrototype(type)->New());
  return options->ParseFromString(field->options().SerializeAsString()) &&
         options->GetReflection()->GetBool(*options, extension);
}

std::string JsonText(const std::string& text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// The root and what it holds, each once, in the order they are met.
void Collect(const Descriptor* type, std::vector<const Descriptor*>* all) {
  for (const Descriptor* known : *all) {
    if (known == type) return;
  }
  all->push_back(type);
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->message_type() != nullptr && !field->is_map()) Collect(field->message_type(), all);
  }
}

// ---- The page

// A heading's, as the places that show these pages make it.
std::string Anchor(std::string heading) {
  for (char& c : heading) c = 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return heading;
}

std::string KindOf(const FieldDescriptor* field) {
  if (field->is_map()) return "names to texts";
  std::string kind;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      kind = "[" + field->message_type()->name() + "](#" + Anchor(field->message_type()->name()) + ")";
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      kind = "text";
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      kind = "true or false";
      break;
    default:
      kind = "number";
  }
  return field->is_repeated() ? "list of " + kind : kind;
}

std::string Markdown(const DescriptorPool& pool, const std::vector<const Descriptor*>& types) {
  std::string page =
      "# The configuration, key by key\n\nMade from `proto/stele/config/v1/machine_config.proto`; what surrounds it is "
      "told in "
      "[config.md](config.md), and editors read [config.schema.json](config.schema.json).\n";
  for (const Descriptor* type : types) {
    page += "\n## " + type->name() + "\n\n";
    if (std::string comment = CommentOf(type); !comment.empty()) page += comment + "\n\n";
    page += "| key | holds | meaning |\n|---|---|---|\n";
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      std::string marks = std::string(HasOption(pool, field, "required") ? ", required" : "") +
                          (HasOption(pool, field, "secret") ? ", secret" : "");
      page += "| `" + field->json_name() + "` | " + KindOf(field) + marks + " | " + CommentOf(field) + " |\n";
    }
  }
  return page;
}

// ---- The schema

std::string SchemaOfValue(const FieldDescriptor* field) {
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "{\"$ref\": " + JsonText("#/definitions/" + field->message_type()->name()) + "}";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "{\"type\": \"boolean\"}";
    case FieldDescriptor::CPPTYPE_UINT32:
      return "{\"type\": \"integer\", \"minimum\": 0, \"maximum\": 4294967295}";
    case FieldDescriptor::CPPTYPE_STRING:
      return "{\"type\": \"string\"}";
    default:
      return "{\"type\": \"number\"}";
  }
}

std::string SchemaOfField(const DescriptorPool& pool, const FieldDescriptor* field) {
  std::string about = "\"description\": " + JsonText(CommentOf(field));
  if (HasOption(pool, field, "secret")) about += ", \"writeOnly\": true";
  if (field->is_map()) return "{" + about + ", \"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}}";
  if (field->is_repeated()) return "{" + about + ", \"type\": \"array\", \"items\": " + SchemaOfValue(field) + "}";
  return "{" + about + ", \"allOf\": [" + SchemaOfValue(field) + "]}";
}

std::string SchemaOfMessage(const DescriptorPool& pool, const Descriptor* type, const std::string& indent) {
  std::string schema = indent + "\"type\": \"object\",\n" + indent + "\"additionalProperties\": false,\n";
  std::string required;
  for (int i = 0; i < type->field_count(); ++i) {
    if (HasOption(pool, type->field(i), "required"))
      required += (required.empty() ? "" : ", ") + JsonText(type->field(i)->json_name());
  }
  if (!required.empty()) schema += indent + "\"required\": [" + required + "],\n";
  schema += indent + "\"properties\": {";
  for (int i = 0; i < type->field_count(); ++i) {
    schema += (i == 0 ? "\n" : ",\n") + indent + "  " + JsonText(type->field(i)->json_name()) + ": " +
              SchemaOfField(pool, type->field(i));
  }
  return schema + "\n" + indent + "}";
}

std::string Schema(const DescriptorPool& pool, const std::vector<const Descriptor*>& types) {
  std::string schema =
      "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n  \"title\": \"Stele MachineConfig\",\n";
  schema += SchemaOfMessage(pool, types[0], "  ") + ",\n  \"definitions\": {";
  for (size_t i = 1; i < types.size(); ++i) {
    schema += (i == 1 ? "\n    " : ",\n    ") + JsonText(types[i]->name()) + ": {\n" +
              SchemaOfMessage(pool, types[i], "      ") + "\n    }";
  }
  return schema + "\n  }\n}\n";
}

// ---- The comments

using Comments = std::map<std::string, std::string>;  // by full name

template <typename Thing>
void AddComment(const Thing* thing, Comments* comments) {
  if (std::string comment = CommentOf(thing); !comment.empty()) (*comments)[thing->full_name()] = comment;
}

void AddComments(const google::protobuf::EnumDescriptor* type, Comments* comments) {
  AddComment(type, comments);
  for (int i = 0; i < type->value_count(); ++i) AddComment(type->value(i), comments);
}

void AddComments(const Descriptor* type, Comments* comments) {
  AddComment(type, comments);
  for (int i = 0; i < type->field_count(); ++i) AddComment(type->field(i), comments);
  for (int i = 0; i < type->nested_type_count(); ++i) AddComments(type->nested_type(i), comments);
  for (int i = 0; i < type->enum_type_count(); ++i) AddComments(type->enum_type(i), comments);
}

bool IsExplained(const std::string& file) {
  return file == "stele/config/v1/machine_config.proto" || file.rfind("stele/resource/v1/", 0) == 0;
}

std::string Header(const DescriptorPool& pool, const google::protobuf::FileDescriptorSet& files) {
  Comments comments;
  for (const auto& proto : files.file()) {
    if (!IsExplained(proto.name())) continue;
    const google::protobuf::FileDescriptor* file = pool.FindFileByName(proto.name());
    for (int i = 0; i < file->message_type_count(); ++i) AddComments(file->message_type(i), &comments);
    for (int i = 0; i < file->enum_type_count(); ++i) AddComments(file->enum_type(i), &comments);
  }
  std::string header =
      "// Made by config_reference: the comments of the config's and the resources' protos, sorted by name.\n#pragma "
      "once\n\nnamespace stele {\n\nstruct ProtoComment {\n  const char* name;\n  const char* text;\n};\n\n"
      "inline constexpr ProtoComment kProtoComments[] = {\n";
  for (const auto& [name, text] : comments) header += "    {" + JsonText(name) + ", " + JsonText(text) + "},\n";
  return header + "};\n\n}  // namespace stele\n";
}

bool Write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "config_reference: cannot write %s\n", path.c_str());
  return static_cast<bool>(file);
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  google::protobuf::FileDescriptorSet files;
  std::ifstream in(options["--descriptors"], std::ios::binary);
  if (!in || !files.ParseFromIstream(&in)) {
    std::fprintf(stderr, "config_reference: cannot read the descriptors '%s'\n", options["--descriptors"].c_str());
    return 1;
  }
  DescriptorPool pool;
  for (const auto& file : files.file()) {
    if (pool.BuildFile(file) == nullptr) return 1;
  }
  const Descriptor* root = pool.FindMessageTypeByName(kRoot);
  if (root == nullptr) {
    std::fprintf(stderr, "config_reference: no %s in the descriptors\n", kRoot);
    return 1;
  }
  std::vector<const Descriptor*> types;
  Collect(root, &types);
  return Write(options["--markdown"], Markdown(pool, types)) && Write(options["--schema"], Schema(pool, types)) &&
                 Write(options["--comments"], Header(pool, files))
             ? 0
             : 1;
}
