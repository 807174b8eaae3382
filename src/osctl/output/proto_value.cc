// Protobuf messages as Values, by reflection.
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/time_util.h>

#include <cmath>
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "osctl/output/value.h"
#include "stele/machine/v1/options.pb.h"

namespace stele::osctl {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename Number>
Value NumberValue(Number number) {
  return Value::Literal(absl::StrCat(number));
}

Value DoubleValue(double number) {
  if (std::isnan(number)) return Value::String("NaN");
  if (std::isinf(number)) return Value::String(number > 0 ? "Infinity" : "-Infinity");
  return Value::Literal(absl::StrFormat("%.17g", number));
}

class Converter {
 public:
  Converter(Defaults defaults, Secrets secrets) : defaults_(defaults), secrets_(secrets) {}

  Value Convert(const Message& message) const {
    const std::string& name = message.GetDescriptor()->full_name();
    // Through the wire, since a dynamic message of these types is not of the generated class.
    if (name == "google.protobuf.Timestamp") {
      return Value::String(google::protobuf::util::TimeUtil::ToString(As<google::protobuf::Timestamp>(message)));
    }
    if (name == "google.protobuf.Duration") {
      return Value::String(google::protobuf::util::TimeUtil::ToString(As<google::protobuf::Duration>(message)));
    }
    if (name == "google.protobuf.Any") return ConvertAny(As<google::protobuf::Any>(message));
    Value map = Value::Map();
    AddFields(message, &map);
    return map;
  }

 private:
  template <typename T>
  static T As(const Message& message) {
    T typed;
    // What serialized a moment ago parses; a required field that lacks cannot happen in proto3.
    (void)typed.ParseFromString(message.SerializeAsString());
    return typed;
  }

  Value ConvertAny(const google::protobuf::Any& any) const {
    Value map = Value::Map();
    map.Add("@type", Value::String(any.type_url()));
    std::string name(absl::string_view(any.type_url()).substr(any.type_url().rfind('/') + 1));
    const Descriptor* type = google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
    if (type == nullptr) {  // a node newer than this osctl
      map.Add("value", Value::String(absl::Base64Escape(any.value())));
      return map;
    }
    std::unique_ptr<Message> body(google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
    if (body->ParseFromString(any.value())) AddFields(*body, &map);
    return map;
  }

  void AddFields(const Message& message, Value* map) const {
    const Descriptor* type = message.GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* field = type->field(i);
      if (Shown(message, field)) map->Add(field->json_name(), FieldValue(message, field));
    }
  }

  bool Shown(const Message& message, const FieldDescriptor* field) const {
    const Reflection* reflection = message.GetReflection();
    bool has = field->is_repeated() ? reflection->FieldSize(message, field) > 0 : reflection->HasField(message, field);
    return has || (defaults_ == Defaults::kShow && !field->has_presence());
  }

  Value FieldValue(const Message& message, const FieldDescriptor* field) const {
    bool empty = field->is_repeated() ? message.GetReflection()->FieldSize(message, field) == 0
                                      : !message.GetReflection()->HasField(message, field);
    if (secrets_ == Secrets::kHide && !empty && field->options().GetExtension(stele::machine::v1::secret)) {
      return Value::String("(secret)");
    }
    if (field->is_map()) return MapValue(message, field);
    if (!field->is_repeated()) return Singular(message, field, -1);
    Value list = Value::List();
    int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) list.Append(Singular(message, field, i));
    return list;
  }

  Value MapValue(const Message& message, const FieldDescriptor* field) const {
    Value map = Value::Map();
    int size = message.GetReflection()->FieldSize(message, field);
    for (int i = 0; i < size; ++i) {
      const Message& entry = message.GetReflection()->GetRepeatedMessage(message, field, i);
      Value key = Singular(entry, entry.GetDescriptor()->map_key(), -1);
      map.Add(key.text(), Singular(entry, entry.GetDescriptor()->map_value(), -1));
    }
    return map;
  }

  // The field itself (index −1) or one element of it.
  Value Singular(const Message& m, const FieldDescriptor* field, int index) const {
    const Reflection* r = m.GetReflection();
    bool one = index < 0;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return NumberValue(one ? r->GetInt32(m, field) : r->GetRepeatedInt32(m, field, index));
      case FieldDescriptor::CPPTYPE_UINT32:
        return NumberValue(one ? r->GetUInt32(m, field) : r->GetRepeatedUInt32(m, field, index));
      case FieldDescriptor::CPPTYPE_INT64:
        return Value::String(absl::StrCat(one ? r->GetInt64(m, field) : r->GetRepeatedInt64(m, field, index)));
      case FieldDescriptor::CPPTYPE_UINT64:
        return Value::String(absl::StrCat(one ? r->GetUInt64(m, field) : r->GetRepeatedUInt64(m, field, index)));
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return DoubleValue(one ? r->GetDouble(m, field) : r->GetRepeatedDouble(m, field, index));
      case FieldDescriptor::CPPTYPE_FLOAT:
        return DoubleValue(one ? r->GetFloat(m, field) : r->GetRepeatedFloat(m, field, index));
      case FieldDescriptor::CPPTYPE_BOOL:
        return Value::Literal((one ? r->GetBool(m, field) : r->GetRepeatedBool(m, field, index)) ? "true" : "false");
      case FieldDescriptor::CPPTYPE_ENUM: {
        int number = one ? r->GetEnumValue(m, field) : r->GetRepeatedEnumValue(m, field, index);
        const auto* value = field->enum_type()->FindValueByNumber(number);
        return value != nullptr ? Value::String(value->name()) : NumberValue(number);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string text = one ? r->GetString(m, field) : r->GetRepeatedString(m, field, index);
        return Value::String(field->type() == FieldDescriptor::TYPE_BYTES ? absl::Base64Escape(text) : text);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Convert(one ? r->GetMessage(m, field) : r->GetRepeatedMessage(m, field, index));
    }
    return {};
  }

  Defaults defaults_;
  Secrets secrets_;
};

}  // namespace

Value FromProto(const Message& message, Defaults defaults, Secrets secrets) {
  return Converter(defaults, secrets).Convert(message);
}

}  // namespace stele::osctl
