#include "machined/metrics/call_counts.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"

namespace stele::machined {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::Interceptor;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;

// gRPC's codes and absl's are the same (absl/status/status.h).
std::string CodeName(grpc::StatusCode code) {
  return absl::AsciiStrToLower(absl::StatusCodeToString(static_cast<absl::StatusCode>(code)));
}

// One call's. Ends with it.
class CallCounter : public Interceptor {
 public:
  explicit CallCounter(ServerRpcInfo* info)
      : method_(absl::StripPrefix(info->method(), "/")), timed_(info->type() == ServerRpcInfo::Type::UNARY) {}
  // A call whose client left ends without a status being sent.
  ~CallCounter() override { CallCounts::Instance().Count(method_, code_, absl::Now() - began_, timed_); }

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS))
      code_ = methods->GetSendStatus().error_code();
    methods->Proceed();
  }

 private:
  std::string method_;
  bool timed_;
  grpc::StatusCode code_ = grpc::StatusCode::CANCELLED;
  absl::Time began_ = absl::Now();
};

class Factory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  Interceptor* CreateServerInterceptor(ServerRpcInfo* info) override { return new CallCounter(info); }
};

}  // namespace

CallCounts& CallCounts::Instance() {
  static auto* const counts = new CallCounts;
  return *counts;
}

std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> CallCounts::Interceptors() {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> made;
  made.push_back(std::make_unique<Factory>());
  return made;
}

void CallCounts::Count(const std::string& method, grpc::StatusCode code, absl::Duration took, bool timed) {
  double seconds = absl::ToDoubleSeconds(took);
  std::lock_guard<std::mutex> lock(mutex_);
  Row& row = methods_[method];
  ++row.ended[code];
  if (!timed) return;
  row.seconds += seconds;
  ++row.at_most.back();
  for (size_t i = 0; i < kBounds.size(); ++i) row.at_most[i] += seconds <= kBounds[i] ? 1 : 0;
}

void CallCounts::Write(MetricWriter& writer) const {
  std::lock_guard<std::mutex> lock(mutex_);
  writer.Family("stele_api_calls", MetricKind::kCounter, "",
                "Calls of the machine API that have ended, by their status.");
  for (const auto& [method, row] : methods_) {
    for (auto [code, count] : row.ended)
      writer.Sample({{"method", method}, {"code", CodeName(code)}}, static_cast<double>(count));
  }
  writer.Family("stele_api_call_duration_seconds", MetricKind::kHistogram, "seconds",
                "How long calls took that are no streams, within machined.");
  for (const auto& [method, row] : methods_) {
    if (row.at_most.back() == 0) continue;
    writer.Histogram({{"method", method}}, {kBounds.begin(), kBounds.end()}, {row.at_most.begin(), row.at_most.end()},
                     row.seconds);
  }
}

}  // namespace stele::machined
