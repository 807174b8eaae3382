// The table's families, read from resources by their descriptors.
#include "absl/strings/ascii.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "machined/metrics/metric_table.h"
#include "machined/proto_enum.h"

namespace stele::machined {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

const FieldDescriptor* FieldOf(const Message& message, const char* name) {
  return message.GetDescriptor()->FindFieldByName(name);
}

double NumberIn(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL:
      return r->GetBool(message, field) ? 1 : 0;
    case FieldDescriptor::CPPTYPE_INT32:
      return r->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(r->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return r->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(r->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r->GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return r->GetFloat(message, field);
    default:
      break;
  }
  const Message& inner = r->GetMessage(message, field);
  if (const auto* duration = dynamic_cast<const google::protobuf::Duration*>(&inner))
    return static_cast<double>(duration->seconds()) + duration->nanos() * 1e-9;
  const auto& time = dynamic_cast<const google::protobuf::Timestamp&>(inner);
  return static_cast<double>(time.seconds()) + time.nanos() * 1e-9;
}

// What was never set, such as the start of a service that did not start, is no figure.
bool IsThere(const Message& message, const FieldDescriptor* field) {
  return field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || message.GetReflection()->HasField(message, field);
}

void WriteField(const Message& message, const MetricField& wanted, MetricWriter::Labels labels, MetricWriter& writer) {
  for (const auto& [name, value] : wanted.labels) labels.emplace_back(name, value);
  if (*wanted.field == '\0') return writer.Sample(labels, 1);
  const FieldDescriptor* field = FieldOf(message, wanted.field);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_ENUM) {
    if (IsThere(message, field)) writer.Sample(labels, NumberIn(message, field));
    return;
  }
  const EnumDescriptor* type = field->enum_type();
  labels.emplace_back("state", "");
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() == 0) continue;
    labels.back().second = absl::AsciiStrToLower(ShortName(type->value(i)));
    writer.Sample(labels, message.GetReflection()->GetEnumValue(message, field) == type->value(i)->number() ? 1 : 0);
  }
}

MetricWriter::Labels LabelsOf(const MetricFamily& family, const std::string& id, const Message& message) {
  MetricWriter::Labels labels;
  if (family.id_label != nullptr) labels.emplace_back(family.id_label, id);
  for (const auto& [name, field] : family.field_labels)
    labels.emplace_back(name, message.GetReflection()->GetString(message, FieldOf(message, field)));
  return labels;
}

}  // namespace

void WriteMetrics(const MetricSource& source, MetricWriter& writer) {
  for (const MetricFamily& family : MetricTable()) {
    auto resources = source.find(family.type);
    if (resources == source.end()) continue;
    writer.Family(family.name, family.kind, family.unit, family.help);
    for (const auto& [id, message] : resources->second) {
      MetricWriter::Labels labels = LabelsOf(family, id, *message);
      for (const MetricField& field : family.fields) WriteField(*message, field, labels, writer);
    }
  }
}

}  // namespace stele::machined
