// Makes, at build time, what follows from the protos: apid's table of methods with their least roles
// (C++ and JSON) and the API's reference page. Fails when a method has no role or anything that
// people read there has no comment.
//
//   method_table --descriptors FILE --header FILE --json FILE --markdown FILE
//
// FILE is what `protoc --include_imports --include_source_info --descriptor_set_out` writes.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using google::protobuf::SourceLocation;

constexpr char kRoleOption[] = "stele.machine.v1.role";
constexpr char kSecretOption[] = "stele.machine.v1.secret";
constexpr char kRequiredOption[] = "stele.machine.v1.required";

struct Method {
  std::string path;
  std::string role;  // "reader", "operator", "admin"
  bool client_streaming = false;
  bool server_streaming = false;
};

// Standard services that machined answers beside its own; their protos are gRPC's, without our option.
const std::vector<Method>& StandardMethods() {
  static const auto* const methods = new std::vector<Method>{
      {"/grpc.health.v1.Health/Check", "reader", false, false},
      {"/grpc.health.v1.Health/Watch", "reader", false, true},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "reader", true, true},
  };
  return *methods;
}

[[noreturn]] void Fail(const std::string& why) {
  std::cerr << "method_table: " << why << "\n";
  std::exit(1);
}

// The varint of option `name`, or 0. The pool holds descriptors that were read as data, so our
// options are unknown fields of theirs.
uint64_t OptionValue(const DescriptorPool& pool, const google::protobuf::Message& options, const char* name) {
  const FieldDescriptor* extension = pool.FindExtensionByName(name);
  if (extension == nullptr) Fail(std::string("the protos declare no option ") + name);
  const auto& unknown = options.GetReflection()->GetUnknownFields(options);
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).number() == extension->number()) return unknown.field(i).varint();
  }
  return 0;
}

// The name in a message's `resource` option; empty: it is no resource.
std::string ResourceName(const DescriptorPool& pool, const Descriptor& message) {
  const FieldDescriptor* extension = pool.FindExtensionByName("stele.machine.v1.resource");
  if (extension == nullptr) Fail("the protos declare no option stele.machine.v1.resource");
  const auto& unknown = message.options().GetReflection()->GetUnknownFields(message.options());
  for (int i = 0; i < unknown.field_count(); ++i) {
    if (unknown.field(i).number() != extension->number()) continue;
    google::protobuf::UnknownFieldSet option;
    if (!option.ParseFromString(unknown.field(i).length_delimited())) Fail(message.full_name() + ": resource option");
    for (int j = 0; j < option.field_count(); ++j) {
      if (option.field(j).number() == 1) return option.field(j).length_delimited();
    }
  }
  return "";
}

// ROLE_READER becomes "reader".
std::string RoleOf(const DescriptorPool& pool, const MethodDescriptor& method) {
  uint64_t value = OptionValue(pool, method.options(), kRoleOption);
  const auto* roles = pool.FindExtensionByName(kRoleOption)->enum_type();
  const auto* role = roles->FindValueByNumber(static_cast<int>(value));
  if (value == 0 || role == nullptr) {
    Fail(method.full_name() + " has no role: write `option (role) = ROLE_…` beside the rpc in " +
         method.file()->name());
  }
  std::string name = role->name().substr(std::string("ROLE_").size());
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

template <typename Element>
std::string Comment(const Element& element, bool required, const std::string& name) {
  SourceLocation location;
  std::string text;
  if (element.GetSourceLocation(&location)) {
    text = location.leading_comments.empty() ? location.trailing_comments : location.leading_comments;
  }
  std::string line, joined;
  std::istringstream lines(text);
  while (std::getline(lines, line)) {
    line.erase(0, line.find_first_not_of(' ') == std::string::npos ? line.size() : line.find_first_not_of(' '));
    if (!joined.empty() && !line.empty()) joined += ' ';
    joined += line;
  }
  if (joined.empty() && required) Fail(name + " has no comment");
  return joined;
}

std::string TableCell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string Anchor(std::string name) {
  std::string anchor;
  for (char c : name) {
    if (c != '.') anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return anchor;
}

// The page of one API: services first, then every message and enum they or the resources use.
class Reference {
 public:
  Reference(const DescriptorPool& pool, std::vector<const FileDescriptor*> files) : pool_(pool), files_(files) {}

  std::string Write() {
    out_ << "# API reference\n\n"
            "Made from the comments in `proto/` by `proto/method_table.cc`; do not edit. A role may do all that the\n"
            "ones before it may: reader, operator, admin. Beside these services the node answers\n"
            "`grpc.health.v1.Health` and `grpc.reflection.v1alpha.ServerReflection` to every role.\n";
    out_ << "\n| method | least role | request | answer |\n|---|---|---|---|\n";
    ForEachService([this](const ServiceDescriptor& service) {
      for (int i = 0; i < service.method_count(); ++i) {
        const auto& method = *service.method(i);
        out_ << "| [" << service.name() << "." << method.name() << "](#" << Anchor(service.name()) << ") | "
             << RoleOf(pool_, method) << " | " << (method.client_streaming() ? "stream of " : "")
             << Link(*method.input_type()) << " | " << (method.server_streaming() ? "stream of " : "")
             << Link(*method.output_type()) << " |\n";
      }
    });
    ForEachService([this](const ServiceDescriptor& service) { WriteService(service); });
    for (const auto* file : files_) {
      if (file->message_type_count() + file->enum_type_count() == 0) continue;
      out_ << "\n## " << file->name() << "\n";
      for (int i = 0; i < file->message_type_count(); ++i) WriteMessage(*file->message_type(i));
      for (int i = 0; i < file->enum_type_count(); ++i) WriteEnum(*file->enum_type(i));
    }
    return out_.str();
  }

 private:
  template <typename Function>
  void ForEachService(Function function) {
    for (const auto* file : files_) {
      for (int i = 0; i < file->service_count(); ++i) function(*file->service(i));
    }
  }

  bool IsOurs(const FileDescriptor* file) const {
    return std::find(files_.begin(), files_.end(), file) != files_.end();
  }

  template <typename Type>
  std::string Link(const Type& type) const {
    if (!IsOurs(type.file())) return type.full_name();
    return "[" + type.name() + "](#" + Anchor(type.full_name()) + ")";
  }

  void WriteService(const ServiceDescriptor& service) {
    out_ << "\n## " << service.name() << "\n\n`" << service.full_name() << "`";
    std::string comment = Comment(service, false, service.full_name());
    if (comment.empty() && service.file()->service_count() == 1) {
      // The comment at the head of a file with one service is the service's.
      SourceLocation location;
      std::vector<int> syntax = {google::protobuf::FileDescriptorProto::kSyntaxFieldNumber};
      if (service.file()->GetSourceLocation(syntax, &location)) comment = Trim(location.leading_comments);
    }
    if (comment.empty()) Fail(service.full_name() + " has no comment");
    out_ << ": " << comment << "\n";
    for (int i = 0; i < service.method_count(); ++i) {
      const auto& method = *service.method(i);
      out_ << "\n- **" << method.name() << "**(" << (method.client_streaming() ? "stream " : "")
           << Link(*method.input_type()) << ") → " << (method.server_streaming() ? "stream " : "")
           << Link(*method.output_type()) << ", " << RoleOf(pool_, method) << ". "
           << Comment(method, true, method.full_name()) << "\n";
    }
  }

  static std::string Trim(const std::string& text) {
    std::string out;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      size_t from = line.find_first_not_of(' ');
      if (from == std::string::npos) continue;
      if (!out.empty()) out += ' ';
      out += line.substr(from);
    }
    return out;
  }

  std::string TypeName(const FieldDescriptor& field) const {
    if (field.is_map()) {
      const auto* value = field.message_type()->FindFieldByNumber(2);
      return "map of " + std::string(field.message_type()->FindFieldByNumber(1)->type_name()) + " to " +
             TypeName(*value);
    }
    std::string name = field.message_type() != nullptr ? Link(*field.message_type())
                       : field.enum_type() != nullptr  ? Link(*field.enum_type())
                                                       : field.type_name();
    return field.is_repeated() ? "repeated " + name : name;
  }

  void WriteMessage(const Descriptor& message) {
    if (message.options().map_entry()) return;
    out_ << "\n<a id=\"" << Anchor(message.full_name()) << "\"></a>\n### " << message.name() << "\n";
    std::string comment = Comment(message, false, message.full_name());
    if (!comment.empty()) out_ << "\n" << comment << "\n";
    if (message.field_count() > 0) out_ << "\n| field | type | |\n|---|---|---|\n";
    for (int i = 0; i < message.field_count(); ++i) {
      const auto& field = *message.field(i);
      out_ << "| " << field.name() << " | " << TypeName(field) << " | "
           << TableCell(Comment(field, true, field.full_name()));
      if (field.real_containing_oneof() != nullptr)
        out_ << " One of `" << field.real_containing_oneof()->name() << "`.";
      if (OptionValue(pool_, field.options(), kRequiredOption) != 0) out_ << " Required.";
      if (OptionValue(pool_, field.options(), kSecretOption) != 0) out_ << " Secret.";
      out_ << " |\n";
    }
    for (int i = 0; i < message.nested_type_count(); ++i) WriteMessage(*message.nested_type(i));
    for (int i = 0; i < message.enum_type_count(); ++i) WriteEnum(*message.enum_type(i));
  }

  void WriteEnum(const EnumDescriptor& type) {
    out_ << "\n<a id=\"" << Anchor(type.full_name()) << "\"></a>\n### " << type.name() << "\n";
    std::string comment = Comment(type, false, type.full_name());
    if (!comment.empty()) out_ << "\n" << comment << "\n";
    out_ << "\n| value | |\n|---|---|\n";
    for (int i = 0; i < type.value_count(); ++i) {
      const auto& value = *type.value(i);
      if (value.number() == 0) continue;
      out_ << "| " << value.name() << " | " << TableCell(Comment(value, false, value.full_name())) << " |\n";
    }
  }

  const DescriptorPool& pool_;
  std::vector<const FileDescriptor*> files_;
  std::ostringstream out_;
};

std::string CppTable(const std::vector<Method>& methods, const std::set<std::string>& resources) {
  std::ostringstream out;
  out << "// Made from the protos by proto/method_table.cc: every method and the least role that may call it.\n"
         "#pragma once\n\n#include <cstdint>\n\n#include \"absl/strings/string_view.h\"\n\nnamespace stele {\n\n"
         "// Each may do all that the ones before it may.\n"
         "enum class Role : uint8_t { kReader = 1, kOperator = 2, kAdmin = 3 };\n\n"
         "struct Method {\n  absl::string_view path;  // \"/package.Service/Method\"\n  Role role;\n"
         "  bool client_streaming;\n  bool server_streaming;\n};\n\n"
         "// Ascending by path.\ninline constexpr Method kMethods[] = {\n";
  for (const auto& method : methods) {
    std::string role = method.role;
    role[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(role[0])));
    out << "    {\"" << method.path << "\", Role::k" << role << ", " << (method.client_streaming ? "true" : "false")
        << ", " << (method.server_streaming ? "true" : "false") << "},\n";
  }
  out << "};\n\n// Every resource type, ascending.\ninline constexpr absl::string_view kResourceTypes[] = {\n";
  for (const std::string& resource : resources) out << "    \"" << resource << "\",\n";
  out << "};\n\n}  // namespace stele\n";
  return out.str();
}

std::string JsonTable(const std::vector<Method>& methods) {
  std::ostringstream out;
  out << "[\n";
  for (size_t i = 0; i < methods.size(); ++i) {
    const auto& method = methods[i];
    out << "  {\"path\": \"" << method.path << "\", \"role\": \"" << method.role
        << "\", \"client_streaming\": " << (method.client_streaming ? "true" : "false")
        << ", \"server_streaming\": " << (method.server_streaming ? "true" : "false") << "}"
        << (i + 1 < methods.size() ? ",\n" : "\n");
  }
  out << "]\n";
  return out.str();
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << text;
  if (!out.flush()) Fail("cannot write " + path);
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> flags;
  for (int i = 1; i + 1 < argc; i += 2) flags[argv[i]] = argv[i + 1];
  for (const char* flag : {"--descriptors", "--header", "--json", "--markdown"}) {
    if (flags[flag].empty()) Fail(std::string("missing ") + flag + " FILE");
  }
  std::ifstream in(flags["--descriptors"], std::ios::binary);
  google::protobuf::FileDescriptorSet set;
  if (!set.ParseFromIstream(&in)) Fail("cannot read " + flags["--descriptors"]);

  DescriptorPool pool;
  std::vector<const FileDescriptor*> ours;
  for (const auto& file : set.file()) {  // protoc writes imports before their importers
    const FileDescriptor* built = pool.BuildFile(file);
    if (built == nullptr) Fail("cannot use " + file.name());
    if (file.package().rfind("stele.", 0) == 0) ours.push_back(built);
  }
  std::sort(ours.begin(), ours.end(), [](const auto* a, const auto* b) { return a->name() < b->name(); });

  std::set<std::string> resources;
  for (const auto* file : ours) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      std::string name = ResourceName(pool, *file->message_type(i));
      if (!name.empty()) resources.insert(name);
    }
  }
  std::vector<Method> methods = StandardMethods();
  for (const auto* file : ours) {
    for (int i = 0; i < file->service_count(); ++i) {
      const auto& service = *file->service(i);
      for (int j = 0; j < service.method_count(); ++j) {
        const auto& method = *service.method(j);
        methods.push_back({"/" + service.full_name() + "/" + method.name(), RoleOf(pool, method),
                           method.client_streaming(), method.server_streaming()});
      }
    }
  }
  std::sort(methods.begin(), methods.end(), [](const Method& a, const Method& b) { return a.path < b.path; });

  WriteFile(flags["--header"], CppTable(methods, resources));
  WriteFile(flags["--json"], JsonTable(methods));
  WriteFile(flags["--markdown"], Reference(pool, ours).Write());
  return 0;
}
