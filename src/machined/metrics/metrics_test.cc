#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/match.h"
#include "machined/metrics/call_counts.h"
#include "machined/metrics/metric_table.h"
#include "machined/providers/provider.h"
#include "machined/store.h"
#include "stele/resource/v1/kernel.pb.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using testing::HasSubstr;
using testing::Not;

bool IsFigure(const FieldDescriptor* field) {
  if (field == nullptr || field->is_repeated()) return false;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return false;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return true;
  const std::string& type = field->message_type()->full_name();
  return type == "google.protobuf.Duration" || type == "google.protobuf.Timestamp";
}

TEST(MetricTable, EveryLineNamesFieldsThatThereAre) {
  std::set<std::string> names;
  for (const MetricFamily& family : MetricTable()) {
    SCOPED_TRACE(family.name);
    EXPECT_TRUE(names.insert(family.name).second);
    const Descriptor* type = ResourceMessageOf(family.type);
    ASSERT_NE(type, nullptr);
    for (const MetricField& field : family.fields) {
      EXPECT_TRUE(*field.field == '\0' || IsFigure(type->FindFieldByName(field.field))) << field.field;
    }
    for (const auto& [label, field] : family.field_labels) {
      const FieldDescriptor* found = type->FindFieldByName(field);
      ASSERT_NE(found, nullptr) << field;
      EXPECT_EQ(found->cpp_type(), FieldDescriptor::CPPTYPE_STRING);
    }
  }
}

// https://prometheus.io/docs/practices/naming/
TEST(MetricTable, NamesAreAsPrometheusWantsThem) {
  for (const MetricFamily& family : MetricTable()) {
    SCOPED_TRACE(family.name);
    EXPECT_TRUE(absl::StartsWith(family.name, "stele_"));
    EXPECT_FALSE(absl::EndsWith(family.name, "_total"));  // counters get it, others may not have it
    EXPECT_TRUE(*family.unit == '\0' || absl::EndsWith(family.name, std::string("_") + family.unit));
    EXPECT_TRUE(absl::EndsWith(family.help, "."));
  }
}

MetricSource OneService() {
  auto service = std::make_shared<resource::v1::Service>();
  service->set_state(resource::v1::SERVICE_STATE_BACKOFF);
  service->set_restarts(3);
  auto pressure = std::make_shared<resource::v1::Pressure>();
  pressure->mutable_some_total()->set_seconds(2);
  pressure->mutable_some_total()->set_nanos(500'000'000);
  return {{"services", {{"kube\"let\\\n", service}}}, {"pressure", {{"cpu", pressure}}}};
}

TEST(Metrics, OpenMetrics) {
  MetricWriter writer(MetricWriter::Format::kOpenMetrics);
  WriteMetrics(OneService(), writer);
  std::string text = writer.Finish();
  EXPECT_THAT(text, HasSubstr("# HELP stele_service_restarts Times that a service was started again.\n"
                              "# TYPE stele_service_restarts counter\n"
                              "stele_service_restarts_total{service=\"kube\\\"let\\\\\\n\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("stele_service_state{service=\"kube\\\"let\\\\\\n\",state=\"backoff\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("stele_service_state{service=\"kube\\\"let\\\\\\n\",state=\"running\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("# UNIT stele_pressure_stalled_seconds seconds\n"
                              "stele_pressure_stalled_seconds_total{resource=\"cpu\",share=\"some\"} 2.5\n"));
  // Neither "full" nor the start of a process was ever set.
  EXPECT_THAT(text, Not(HasSubstr("share=\"full\"")));
  EXPECT_THAT(text, Not(HasSubstr("stele_service_start_time")));
  EXPECT_TRUE(absl::EndsWith(text, "# EOF\n"));
}

TEST(Metrics, Prometheus) {
  MetricWriter writer(MetricWriter::Format::kPrometheus);
  WriteMetrics(OneService(), writer);
  std::string text = writer.Finish();
  EXPECT_THAT(text, HasSubstr("# TYPE stele_service_restarts_total counter\nstele_service_restarts_total{"));
  EXPECT_THAT(text, Not(HasSubstr("# UNIT")));
  EXPECT_THAT(text, Not(HasSubstr("# EOF")));
}

TEST(Metrics, AFamilyIsBounded) {
  MetricSource source;
  for (int i = 0; i < 1500; ++i) source["pressure"][std::to_string(i)] = OneService()["pressure"]["cpu"];
  MetricWriter writer(MetricWriter::Format::kOpenMetrics);
  WriteMetrics(source, writer);
  EXPECT_THAT(writer.Finish(), HasSubstr("\nstele_metrics_dropped_samples 500\n"));
}

TEST(CallCounts, UnaryCallsAreTimedAndStreamsAreNot) {
  CallCounts counts;
  counts.Count("S/Get", grpc::StatusCode::OK, absl::Milliseconds(3), true);
  counts.Count("S/Get", grpc::StatusCode::NOT_FOUND, absl::Seconds(20), true);
  counts.Count("S/Watch", grpc::StatusCode::CANCELLED, absl::Hours(1), false);
  MetricWriter writer(MetricWriter::Format::kOpenMetrics);
  counts.Write(writer);
  std::string text = writer.Finish();
  EXPECT_THAT(text, HasSubstr("stele_api_calls_total{method=\"S/Get\",code=\"ok\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("stele_api_calls_total{method=\"S/Get\",code=\"not_found\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("stele_api_calls_total{method=\"S/Watch\",code=\"cancelled\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{method=\"S/Get\",le=\"0.001\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{method=\"S/Get\",le=\"0.005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("_bucket{method=\"S/Get\",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("_count{method=\"S/Get\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("_count{method=\"S/Watch\"}")));
}

}  // namespace
}  // namespace stele::machined
