#include "osctl/output/resource.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "osctl/output/humanize.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/hardware.pb.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"
#include "stele/resource/v1/upgrade.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::osctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// A new proto file of resources is named here; a static link would drop one that nobody names.
std::vector<const FileDescriptor*> ResourceFiles() {
  namespace v1 = stele::resource::v1;
  return {v1::Service::descriptor()->file(), v1::Link::descriptor()->file(),   v1::Pod::descriptor()->file(),
          v1::Slot::descriptor()->file(),    v1::Kernel::descriptor()->file(), v1::Disk::descriptor()->file()};
}

std::vector<ResourceType> CollectTypes() {
  std::vector<ResourceType> types;
  for (const FileDescriptor* file : ResourceFiles()) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      const Descriptor* message = file->message_type(i);
      if (!message->options().HasExtension(machine::v1::resource)) continue;
      const auto& option = message->options().GetExtension(machine::v1::resource);
      types.push_back({option.name(), {option.aliases().begin(), option.aliases().end()}, message});
    }
  }
  std::sort(types.begin(), types.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return types;
}

std::vector<const FieldDescriptor*> Columns(const Descriptor* message, Width width) {
  std::vector<const FieldDescriptor*> columns;
  for (int i = 0; i < message->field_count(); ++i) {
    const FieldDescriptor* field = message->field(i);
    if (!field->options().HasExtension(machine::v1::column)) continue;
    if (width == Width::kWide || !field->options().GetExtension(machine::v1::column).wide()) columns.push_back(field);
  }
  return columns;
}

absl::Time TimeOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string MessageCell(const Message& message, Width width, absl::Time now) {
  if (message.GetDescriptor() == google::protobuf::Timestamp::descriptor()) {
    absl::Time time = TimeOf(static_cast<const google::protobuf::Timestamp&>(message));
    return width == Width::kWide ? Rfc3339(time) : HumanAge(time, now);
  }
  if (message.GetDescriptor() == google::protobuf::Duration::descriptor()) {
    const auto& duration = static_cast<const google::protobuf::Duration&>(message);
    return HumanDuration(absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos()));
  }
  std::string json = ToJson(FromProto(message, Defaults::kOmit), Layout::kOneLine);
  absl::StripTrailingAsciiWhitespace(&json);
  return json;
}

// The field itself (index −1) or one element of it.
std::string ScalarCell(const Message& m, const FieldDescriptor* field, int index, Width width, absl::Time now) {
  const Reflection* r = m.GetReflection();
  bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return (one ? r->GetBool(m, field) : r->GetRepeatedBool(m, field, index)) ? "yes" : "no";
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumText(one ? r->GetEnum(m, field) : r->GetRepeatedEnum(m, field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return one ? r->GetString(m, field) : r->GetRepeatedString(m, field, index);
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = one ? r->GetUInt64(m, field) : r->GetRepeatedUInt64(m, field, index);
      if (!absl::EndsWith(field->name(), "_bytes")) return absl::StrCat(number);
      return number == 0 ? "" : HumanBytes(number);  // nothing has a size of 0: it has none
    }
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(one ? r->GetInt64(m, field) : r->GetRepeatedInt64(m, field, index));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(one ? r->GetUInt32(m, field) : r->GetRepeatedUInt32(m, field, index));
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(one ? r->GetInt32(m, field) : r->GetRepeatedInt32(m, field, index));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(one ? r->GetDouble(m, field) : r->GetRepeatedDouble(m, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(one ? r->GetFloat(m, field) : r->GetRepeatedFloat(m, field, index));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return MessageCell(one ? r->GetMessage(m, field) : r->GetRepeatedMessage(m, field, index), width, now);
  }
  return "";
}

std::unique_ptr<Message> BodyOf(const ResourceType* type, const machine::v1::Resource& resource) {
  std::unique_ptr<Message> body(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type->message)->New());
  // A body that does not parse is shown as an empty one: its id still says what is there.
  if (!body->ParseFromString(resource.body().value())) body->Clear();
  return body;
}

}  // namespace

const std::vector<ResourceType>& ResourceTypes() {
  static const auto* types = new std::vector<ResourceType>(CollectTypes());
  return *types;
}

const ResourceType* FindResourceType(absl::string_view name) {
  for (const ResourceType& type : ResourceTypes()) {
    if (type.name == name) return &type;
    for (const std::string& alias : type.aliases) {
      if (alias == name) return &type;
    }
  }
  return nullptr;
}

std::vector<std::string> ResourceHeaders(const ResourceType* type, Width width) {
  if (type == nullptr) return {"ID", "VERSION", "OWNER"};
  std::vector<std::string> headers = {"ID"};
  for (const FieldDescriptor* field : Columns(type->message, width)) {
    headers.push_back(field->options().GetExtension(machine::v1::column).header());
  }
  return headers;
}

std::vector<std::string> ResourceCells(const ResourceType* type, const machine::v1::Resource& resource, Width width,
                                       absl::Time now) {
  if (type == nullptr) return {resource.id(), absl::StrCat(resource.version()), resource.owner()};
  std::vector<std::string> cells = {resource.id()};
  std::unique_ptr<Message> body = BodyOf(type, resource);
  for (const FieldDescriptor* field : Columns(type->message, width)) {
    cells.push_back(FieldCell(*body, field, width, now));
  }
  return cells;
}

Value ResourceValue(const machine::v1::Resource& resource, absl::string_view node) {
  Value value = Value::Map();
  if (!node.empty()) value.Add("node", Value::String(node));
  value.Add("type", Value::String(resource.type()));
  value.Add("id", Value::String(resource.id()));
  value.Add("version", Value::String(absl::StrCat(resource.version())));
  value.Add("owner", Value::String(resource.owner()));
  if (resource.has_created()) value.Add("created", FromProto(resource.created()));
  if (resource.has_updated()) value.Add("updated", FromProto(resource.updated()));
  const ResourceType* type = FindResourceType(resource.type());
  // A type of a newer node keeps its @type: nothing else says what it is.
  value.Add("body", type != nullptr ? FromProto(*BodyOf(type, resource)) : FromProto(resource.body()));
  return value;
}

std::string FieldCell(const Message& message, const FieldDescriptor* field, Width width, absl::Time now) {
  if (field->is_repeated()) {
    std::vector<std::string> parts;
    int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) parts.push_back(ScalarCell(message, field, i, width, now));
    return absl::StrJoin(parts, ",");
  }
  if (field->has_presence() && !message.GetReflection()->HasField(message, field)) return "";
  return ScalarCell(message, field, -1, width, now);
}

std::string EnumText(const google::protobuf::EnumValueDescriptor* value) {
  if (value->number() == 0) return "";
  // The prefix is the enum's name in upper case: ServiceState, SERVICE_STATE_.
  std::string prefix;
  for (char c : value->type()->name()) {
    if (absl::ascii_isupper(c) && !prefix.empty()) prefix.push_back('_');
    prefix.push_back(absl::ascii_toupper(c));
  }
  prefix.push_back('_');
  std::string text = value->name();
  if (absl::StartsWith(text, prefix)) text = text.substr(prefix.size());
  for (size_t i = 1; i < text.size(); ++i) text[i] = text[i] == '_' ? ' ' : absl::ascii_tolower(text[i]);
  return text;
}

}  // namespace stele::osctl
