// Tables, JSON, YAML and the words for numbers and times.
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>

#include "config/yaml_to_proto.h"
#include "osctl/output/humanize.h"
#include "osctl/output/line_prefix.h"
#include "osctl/output/log_lines.h"
#include "osctl/output/resource.h"
#include "osctl/output/table.h"
#include "osctl/output/value.h"
#include "stele/config/v1/client_config.pb.h"
#include "stele/config/v1/machine_config.pb.h"
#include "stele/machine/v1/options.pb.h"
#include "stele/resource/v1/network.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::osctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'700'000'000);

TEST(Humanize, Durations) {
  EXPECT_EQ(HumanDuration(absl::ZeroDuration()), "0s");
  EXPECT_EQ(HumanDuration(absl::Nanoseconds(533)), "533ns");
  EXPECT_EQ(HumanDuration(absl::Nanoseconds(21'600)), "21.6µs");
  EXPECT_EQ(HumanDuration(absl::Microseconds(1520)), "1.52ms");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(1204)), "1.204s");
  EXPECT_EQ(HumanDuration(absl::Seconds(12)), "12s");
  EXPECT_EQ(HumanDuration(absl::Milliseconds(59'999)), "1m");
  EXPECT_EQ(HumanDuration(absl::Seconds(312)), "5m12s");
  EXPECT_EQ(HumanDuration(absl::Hours(51)), "2d3h");
  EXPECT_EQ(HumanAge(kNow - absl::Seconds(61), kNow), "1m1s");
  EXPECT_EQ(HumanAge(kNow + absl::Seconds(5), kNow), "in 5s");
}

TEST(Humanize, Bytes) {
  EXPECT_EQ(HumanBytes(0), "0B");
  EXPECT_EQ(HumanBytes(1023), "1023B");
  EXPECT_EQ(HumanBytes(1024), "1.0KiB");
  EXPECT_EQ(HumanBytes(1536 * 1024), "1.5MiB");
  EXPECT_EQ(HumanBytes(200ull << 30), "200GiB");
  EXPECT_EQ(HumanBytes((1ull << 20) - 1), "1.0MiB");
  EXPECT_EQ(HumanBytes(UINT64_MAX), "16.0EiB");
}

TEST(Humanize, ReadsBytes) {
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("4096"), 4096u);
  EXPECT_EQ(*ParseBytes("64KiB"), 65536u);
  EXPECT_EQ(*ParseBytes("2TiB"), 2ull << 40);
  EXPECT_EQ(*ParseBytes("18446744073709551615"), UINT64_MAX);
  for (const char* wrong : {"", "KiB", "-1", "1.5MiB", "4K", "4kib", "18446744073709551616", "99999999999TiB"}) {
    EXPECT_FALSE(ParseBytes(wrong).ok()) << wrong;
  }
}

TEST(LinePrefix, LinesAcrossPieces) {
  LinePrefix lines("a: ");
  EXPECT_EQ(lines.Take("one\ntw"), "a: one\n");
  EXPECT_EQ(lines.Take("o\n\nth"), "a: two\na: \n");
  EXPECT_EQ(lines.Take("ree"), "");
  EXPECT_EQ(lines.Rest(), "a: three\n");
  EXPECT_EQ(lines.Rest(), "");
  EXPECT_EQ(lines.Take(std::string(70'000, 'x')).size(), 70'004u);  // no line: not kept for ever
  LinePrefix none("");
  EXPECT_EQ(none.Take("x"), "x");
  EXPECT_EQ(none.Rest(), "");
}

TEST(Humanize, ReadsDurationsAndTimes) {
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseDuration("1d12h"), absl::Hours(36));
  for (const char* wrong : {"", "5", "-5s", "d", "x", "inf", "5 s"}) EXPECT_FALSE(ParseDuration(wrong).ok()) << wrong;
  EXPECT_EQ(*ParseTime("2023-11-14T22:13:20Z", absl::Now()), kNow);
  EXPECT_EQ(*ParseTime("5m", kNow), kNow - absl::Minutes(5));
  EXPECT_EQ(*ParseTime("2023-11-14", kNow), kNow - absl::Hours(22) - absl::Minutes(13) - absl::Seconds(20));
  EXPECT_FALSE(ParseTime("yesterday", kNow).ok());
}

TEST(Table, AlignsAndCleans) {
  Table table({"NAME", "WHAT", "LAST"});
  table.AddRow({"a", "", "end"});
  table.AddRow({"müller", "tab\tesc\x1b[31m", "x"});
  EXPECT_EQ(table.Render(),
            "NAME    WHAT          LAST\n"
            "a       -             end\n"
            "müller  tab?esc?[31m  x\n");
  table.AddRow({"b", "c", "d"});
  EXPECT_EQ(table.Render(), "b       c             d\n");
}

machine::v1::Resource Wrap(const std::string& type, const std::string& id, const google::protobuf::Message& body) {
  machine::v1::Resource resource;
  resource.set_type(type);
  resource.set_id(id);
  resource.mutable_body()->PackFrom(body);
  return resource;
}

TEST(Resource, CellsAreForPeople) {
  resource::v1::Service service;
  service.set_state(resource::v1::SERVICE_STATE_RUNNING);
  service.set_ready(true);
  service.set_pid(42);
  service.set_desired(resource::v1::DESIRED_STATE_UP);
  service.mutable_started()->set_seconds(1'700'000'000 - 75);
  const ResourceType* type = FindResourceType("svc");
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->name, "services");
  EXPECT_THAT(ResourceHeaders(type, Width::kNormal),
              ElementsAre("ID", "STATE", "READY", "PID", "RESTARTS", "SINCE", "MESSAGE"));
  EXPECT_THAT(ResourceCells(type, Wrap("services", "kubelet", service), Width::kNormal, kNow),
              ElementsAre("kubelet", "Running", "yes", "42", "0", "1m15s", ""));
  EXPECT_THAT(ResourceCells(type, Wrap("services", "kubelet", service), Width::kWide, kNow),
              ElementsAre("kubelet", "Running", "yes", "42", "0", "Up", "2023-11-14T22:12:05Z", "", ""));
}

TEST(Resource, BytesDurationsAndLists) {
  resource::v1::Mount mount;
  mount.set_target("/var");
  mount.set_size_bytes(3 << 20);
  EXPECT_THAT(ResourceCells(FindResourceType("mounts"), Wrap("mounts", "7", mount), Width::kNormal, kNow),
              ElementsAre("7", "/var", "", "", "3.0MiB", ""));
  resource::v1::DhcpLease lease;
  lease.mutable_lease_time()->set_seconds(86400);
  lease.add_servers("10.0.2.3");
  lease.add_servers("10.0.2.4");
  EXPECT_THAT(ResourceCells(FindResourceType("dhcp"), Wrap("leases", "eth0", lease), Width::kWide, kNow),
              testing::AllOf(testing::Contains("1d"), testing::Contains("10.0.2.3,10.0.2.4")));
}

TEST(Resource, ATypeOfANewerNode) {
  machine::v1::Resource resource;
  resource.set_type("dreams");
  resource.set_id("cpu");
  resource.set_version(9);
  resource.mutable_body()->set_type_url("type.googleapis.com/stele.resource.v1.Dream");
  resource.mutable_body()->set_value("\x08\x01");
  EXPECT_EQ(FindResourceType("dreams"), nullptr);
  EXPECT_THAT(ResourceCells(nullptr, resource, Width::kNormal, kNow), ElementsAre("cpu", "9", ""));
  EXPECT_THAT(ToJson(ResourceValue(resource, "n1")),
              HasSubstr("\"@type\": \"type.googleapis.com/stele.resource.v1.Dream\",\n    \"value\": \"CAE=\""));
}

// Every field of every resource type, against protobuf's own JSON reader.
void Fill(google::protobuf::Message* message, int depth) {
  const auto* reflection = message->GetReflection();
  for (int i = 0; i < message->GetDescriptor()->field_count(); ++i) {
    const auto* field = message->GetDescriptor()->field(i);
    using Field = google::protobuf::FieldDescriptor;
    if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
      if (depth > 4 || field->is_map()) continue;
      Fill(field->is_repeated() ? reflection->AddMessage(message, field) : reflection->MutableMessage(message, field),
           depth + 1);
      continue;
    }
    std::string text = "a \"quoted\" \\ line\nand\ttab \x01 €";
    if (field->is_repeated()) {
      if (field->cpp_type() == Field::CPPTYPE_STRING) reflection->AddString(message, field, text);
      continue;
    }
    switch (field->cpp_type()) {
      case Field::CPPTYPE_BOOL:
        reflection->SetBool(message, field, true);
        break;
      case Field::CPPTYPE_INT32:
        reflection->SetInt32(message, field, 5);
        break;
      case Field::CPPTYPE_UINT32:
        reflection->SetUInt32(message, field, UINT32_MAX);
        break;
      case Field::CPPTYPE_INT64:
        reflection->SetInt64(message, field, 6);
        break;
      case Field::CPPTYPE_UINT64:
        reflection->SetUInt64(message, field, UINT64_MAX);
        break;
      case Field::CPPTYPE_DOUBLE:
        reflection->SetDouble(message, field, 98.48);
        break;
      case Field::CPPTYPE_ENUM:
        reflection->SetEnumValue(message, field, 1);
        break;
      case Field::CPPTYPE_STRING:
        reflection->SetString(message, field, text);
        break;
      default:
        FAIL() << "teach the test " << field->full_name();
    }
  }
}

TEST(Value, IsProtobufsJson) {
  ASSERT_GE(ResourceTypes().size(), 20u);
  for (const ResourceType& type : ResourceTypes()) {
    auto* factory = google::protobuf::MessageFactory::generated_factory();
    std::unique_ptr<google::protobuf::Message> filled(factory->GetPrototype(type.message)->New());
    std::unique_ptr<google::protobuf::Message> back(factory->GetPrototype(type.message)->New());
    Fill(filled.get(), 0);
    std::string json = ToJson(FromProto(*filled));
    auto status = google::protobuf::util::JsonStringToMessage(json, back.get());
    ASSERT_TRUE(status.ok()) << type.name << ": " << status << "\n" << json;
    EXPECT_EQ(back->SerializeAsString(), filled->SerializeAsString()) << type.name;
  }
}

TEST(Value, SecretsStayHidden) {
  config::v1::MachineConfig config;
  config.mutable_api()->set_key("PRIVATE");
  config.mutable_api()->set_certificate("public");
  std::string json = ToJson(FromProto(config, Defaults::kOmit));
  EXPECT_THAT(json, testing::Not(HasSubstr("PRIVATE")));
  EXPECT_THAT(json, HasSubstr("\"key\": \"(secret)\""));
  EXPECT_THAT(json, HasSubstr("public"));
}

TEST(Value, Yaml) {
  Value list = Value::List();
  list.Append(Value::Map().Add("a", Value::String("plain")).Add("b", Value::List()));
  list.Append(Value::String("yes"));
  Value value = Value::Map();
  value.Add("list", std::move(list)).Add("text", Value::String("one\n  two\n")).Add("n", Value::Literal("3"));
  value.Add("empty", Value::String("")).Add("colon", Value::String("a: b"));
  EXPECT_EQ(ToYaml(value),
            "list:\n"
            "- a: plain\n"
            "  b: []\n"
            "- \"yes\"\n"
            "text: |\n"
            "  one\n"
            "    two\n"
            "\"n\": 3\n"
            "empty: \"\"\n"
            "colon: \"a: b\"\n");
}

TEST(LogLines, TimesHoldUntilTheNextMark) {
  LogLines lines("n1: ", Timestamps::kShow);
  machine::v1::ReadLogResponse response;
  response.set_data("a\nb\nc\n");
  auto* mark = response.add_marks();
  mark->mutable_time()->set_seconds(1'700'000'000);
  mark = response.add_marks();
  mark->set_offset(4);
  mark->mutable_time()->set_seconds(1'700'000'001);
  EXPECT_EQ(lines.Render(response),
            "n1: 2023-11-14T22:13:20.000Z a\n"
            "n1: 2023-11-14T22:13:20.000Z b\n"
            "n1: 2023-11-14T22:13:21.000Z c\n");
  response.clear_marks();
  response.set_data("d\n");
  EXPECT_EQ(lines.Render(response), "n1: 2023-11-14T22:13:21.000Z d\n");
}

}  // namespace
}  // namespace stele::osctl
