#include "machined/metrics/metric_writer.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxSamples = 1000;          // of a family
constexpr size_t kMaxText = 2 * 1000 * 1000;  // below 2 MiB, with room for the end

std::string Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[32];  // the shortest that reads back as the same
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

const char* KindName(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kHistogram:
      return "histogram";
    case MetricKind::kGauge:
      break;
  }
  return "gauge";
}

std::string Escaped(absl::string_view value) {
  return absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", "\\n"}});
}

}  // namespace

const char* MetricContentType(MetricWriter::Format format) {
  return format == MetricWriter::Format::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                                      : "text/plain; version=0.0.4; charset=utf-8";
}

void MetricWriter::Family(absl::string_view name, MetricKind kind, absl::string_view unit, absl::string_view help) {
  name_ = std::string(name);
  unit_ = std::string(unit);
  help_ = std::string(help);
  kind_ = kind;
  samples_ = 0;
}

void MetricWriter::Head() {
  // OpenMetrics names a counter's family without the suffix that its samples have, Prometheus with it.
  bool open = format_ == Format::kOpenMetrics;
  std::string family = absl::StrCat(name_, !open && kind_ == MetricKind::kCounter ? "_total" : "");
  absl::StrAppend(&text_, "# HELP ", family, " ", Escaped(help_), "\n# TYPE ", family, " ", KindName(kind_), "\n");
  if (open && !unit_.empty()) absl::StrAppend(&text_, "# UNIT ", family, " ", unit_, "\n");
}

void MetricWriter::Line(absl::string_view suffix, const Labels& labels, double value) {
  if (samples_ >= kMaxSamples || text_.size() > kMaxText) {
    ++dropped_;
    return;
  }
  if (samples_++ == 0) Head();
  absl::StrAppend(&text_, name_, suffix);
  const char* before = "{";
  for (const auto& [label, text] : labels) {
    absl::StrAppend(&text_, before, label, "=\"", Escaped(text), "\"");
    before = ",";
  }
  absl::StrAppend(&text_, labels.empty() ? " " : "} ", Number(value), "\n");
}

void MetricWriter::Histogram(const Labels& labels, const std::vector<double>& bounds,
                             const std::vector<uint64_t>& counts, double sum) {
  for (size_t i = 0; i < counts.size(); ++i) {
    Labels with_bound = labels;
    with_bound.emplace_back("le", i < bounds.size() ? Number(bounds[i]) : "+Inf");
    Line("_bucket", with_bound, static_cast<double>(counts[i]));
  }
  Line("_sum", labels, sum);
  Line("_count", labels, static_cast<double>(counts.back()));
}

std::string MetricWriter::Finish() {
  double dropped = static_cast<double>(std::exchange(dropped_, 0));
  Family("stele_metrics_dropped_samples", MetricKind::kGauge, "", "Samples that this answer had no room for.");
  Head();
  absl::StrAppend(&text_, name_, " ", Number(dropped), "\n");
  if (format_ == Format::kOpenMetrics) text_ += "# EOF\n";
  return std::move(text_);
}

}  // namespace stele::machined
