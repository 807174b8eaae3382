// MetricsService: all figures of the node in one text.
#include <set>

#include "machined/api.h"
#include "machined/metrics/call_counts.h"
#include "machined/metrics/metric_table.h"
#include "machined/providers/provider_reads.h"
#include "machined/store.h"
#include "stele/machine/v1/metrics_service.grpc.pb.h"

namespace stele::machined {
namespace {

MetricWriter::Format FormatOf(const machine::v1::GetMetricsRequest& request) {
  return request.format() == machine::v1::METRICS_FORMAT_PROMETHEUS ? MetricWriter::Format::kPrometheus
                                                                    : MetricWriter::Format::kOpenMetrics;
}

// One call: asks for every type that the table names, and answers once all have come. Owner thread only.
class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  Gathering(NodeApi& api, MetricWriter::Format format, machine::v1::GetMetricsResponse* response,
            grpc::ServerUnaryReactor* reactor)
      : api_(api), format_(format), response_(response), reactor_(reactor) {}

  void Begin() {
    std::set<std::string> types;
    for (const MetricFamily& family : MetricTable()) types.insert(family.type);
    waited_for_ = types.size();
    for (const std::string& type : types) {
      if (const Provider* provider = FindProvider(type)) {
        api_.reads.Read(*provider, [self = shared_from_this(), type](const ProviderReads::Result& all) {
          self->TakeReading(type, all);
        });
        continue;
      }
      for (const ResourcePtr& resource : api_.node.store().List(type)) source_[type][resource->id] = resource->body;
      Came(type, true);
    }
  }

 private:
  void TakeReading(const std::string& type, const ProviderReads::Result& all) {
    if (all.ok()) {
      for (const auto& [id, body] : *all) {
        std::shared_ptr<google::protobuf::Message> copy(body->New());  // a reading is shared between all who asked
        copy->CopyFrom(*body);
        source_[type][id] = std::move(copy);
      }
    }
    Came(type, all.ok());
  }

  void Came(const std::string& type, bool read) {
    read_[type] = read;
    if (--waited_for_ > 0) return;
    MetricWriter writer(format_);
    WriteMetrics(source_, writer);
    CallCounts::Instance().Write(writer);
    writer.Family("stele_metrics_source_up", MetricKind::kGauge, "", "Whether a type of resources could be read.");
    for (const auto& [name, ok] : read_) writer.Sample({{"type", name}}, ok ? 1 : 0);
    response_->set_content_type(MetricContentType(format_));
    response_->set_text(writer.Finish());
    reactor_->Finish(grpc::Status::OK);
  }

  NodeApi& api_;
  MetricWriter::Format format_;
  machine::v1::GetMetricsResponse* response_;
  grpc::ServerUnaryReactor* reactor_;
  MetricSource source_;
  std::map<std::string, bool> read_;
  size_t waited_for_ = 0;
};

class MetricsService final : public machine::v1::MetricsService::CallbackService {
 public:
  explicit MetricsService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* GetMetrics(grpc::CallbackServerContext* context,
                                       const machine::v1::GetMetricsRequest* request,
                                       machine::v1::GetMetricsResponse* response) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    auto gathering = std::make_shared<Gathering>(api_, FormatOf(*request), response, reactor);
    api_.node.loop().Post([gathering] { gathering->Begin(); });
    return reactor;
  }

 private:
  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMetricsService(NodeApi& api) { return std::make_unique<MetricsService>(api); }

}  // namespace stele::machined
