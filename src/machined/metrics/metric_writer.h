// Figures as text: OpenMetrics 1.0 (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md),
// and Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/), which differ in
// little. Any thread, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace stele::machined {

enum class MetricKind : unsigned char { kGauge, kCounter, kHistogram };

class MetricWriter {
 public:
  enum class Format : unsigned char { kOpenMetrics, kPrometheus };
  using Labels = std::vector<std::pair<std::string, std::string>>;

  explicit MetricWriter(Format format) : format_(format) {}

  // The samples that follow are of this family. `name` is without "_total" and ends in the unit, where it has one. A
  // family without samples does not appear.
  void Family(absl::string_view name, MetricKind kind, absl::string_view unit, absl::string_view help);
  void Sample(const Labels& labels, double value) {
    Line(kind_ == MetricKind::kCounter ? "_total" : "", labels, value);
  }
  // Of a histogram: how many were at most `bounds[i]`; one more count than bounds, the last is of all.
  void Histogram(const Labels& labels, const std::vector<double>& bounds, const std::vector<uint64_t>& counts,
                 double sum);

  // All of it. Ends the writer's use.
  std::string Finish();

 private:
  void Line(absl::string_view suffix, const Labels& labels, double value);
  void Head();

  Format format_;
  std::string text_;
  std::string name_, unit_, help_;
  MetricKind kind_ = MetricKind::kGauge;
  size_t samples_ = 0;  // of the family
  uint64_t dropped_ = 0;
};

const char* MetricContentType(MetricWriter::Format format);

}  // namespace stele::machined
