// NetworkService: hands each call to its function in network_debug/, on a thread of its own, and keeps their number
// small.
#include "machined/api.h"
#include "machined/call_thread.h"
#include "machined/caller.h"
#include "machined/network_debug/capture.h"
#include "machined/network_debug/connection_probe.h"
#include "machined/network_debug/ping.h"
#include "machined/network_debug/resolve.h"
#include "machined/network_debug/trace_route.h"
#include "stele/machine/v1/network_service.grpc.pb.h"

namespace stele::machined {
namespace {

using machine::v1::CaptureRequest;
using machine::v1::CaptureResponse;
using machine::v1::CaptureSummary;
using machine::v1::PingRequest;
using machine::v1::PingResponse;
using machine::v1::ProbeRequest;
using machine::v1::ProbeResponse;
using machine::v1::ResolveRequest;
using machine::v1::ResolveResponse;
using machine::v1::TraceRouteRequest;
using machine::v1::TraceRouteResponse;

constexpr int kMostAtOnce = 4;
constexpr int kMostCaptures = 2;  // each may hold some megabytes in the kernel

class NetworkService final : public machine::v1::NetworkService::CallbackService {
 public:
  explicit NetworkService(NodeApi& api) : api_(api) {}

  grpc::ServerWriteReactor<PingResponse>* Ping(grpc::CallbackServerContext* context,
                                               const PingRequest* request) override {
    auto* call = new StreamThread<PingResponse>(context);
    call->Run(pings_, "pings", [request = *request](const Stop& stop, const auto& tell) {
      return machined::Ping(request, ResolverFiles(), stop, tell);
    });
    return call;
  }

  grpc::ServerWriteReactor<TraceRouteResponse>* TraceRoute(grpc::CallbackServerContext* context,
                                                           const TraceRouteRequest* request) override {
    auto* call = new StreamThread<TraceRouteResponse>(context);
    call->Run(traces_, "traceroutes", [request = *request](const Stop& stop, const auto& tell) {
      return machined::TraceRoute(request, ResolverFiles(), stop, tell);
    });
    return call;
  }

  grpc::ServerUnaryReactor* Resolve(grpc::CallbackServerContext*, const ResolveRequest* request,
                                    ResolveResponse* response) override {
    auto* call = new UnaryThread<ResolveResponse>();
    call->Run(resolves_, "look-ups", response,
              [request = *request](const Stop& stop) { return machined::Resolve(request, ResolverFiles(), stop); });
    return call;
  }

  grpc::ServerUnaryReactor* Probe(grpc::CallbackServerContext*, const ProbeRequest* request,
                                  ProbeResponse* response) override {
    auto* call = new UnaryThread<ProbeResponse>();
    call->Run(probes_, "probes", response,
              [request = *request](const Stop& stop) { return ProbeConnection(request, ResolverFiles(), stop); });
    return call;
  }

  grpc::ServerWriteReactor<CaptureResponse>* Capture(grpc::CallbackServerContext* context,
                                                     const CaptureRequest* request) override {
    auto* call = new StreamThread<CaptureResponse>(context);
    call->Run(captures_, "captures",
              [this, request = *request, peer = CallerMetadata(*context, "stele-peer"), caller = CallerOf(*context)](
                  const Stop& stop, const auto& tell) { return Record(request, peer, caller, stop, tell); });
    return call;
  }

 private:
  // Whose packets were looked at, by whom, stays in the events.
  absl::Status Record(const CaptureRequest& request, const std::string& peer, const std::string& caller,
                      const Stop& stop, const std::function<bool(const CaptureResponse&)>& tell) {
    std::string interface = request.interface().empty() ? "any" : request.interface();
    CaptureSummary last;
    bool begun = false;
    absl::Status status = machined::Capture(request, peer, stop, [&](const CaptureResponse& response) {
      last = response.summary();
      if (!std::exchange(begun, true)) {
        Emit(interface, absl::StrCat("packets are captured for ", caller,
                                     request.filter().empty() ? "" : ", filter: ", request.filter()));
      }
      return tell(response);
    });
    if (begun) {
      Emit(interface, absl::StrCat("the capture for ", caller, " ended: ", last.packets(), " packets, ", last.dropped(),
                                   " dropped"));
    }
    return status;
  }

  void Emit(const std::string& subject, std::string message) {
    api_.node.loop().Post([node = &api_.node, subject, message = std::move(message)] {
      node->Emit("network", subject, message, machine::v1::SEVERITY_INFO);
    });
  }

  NodeApi& api_;
  CallLimit pings_{kMostAtOnce}, traces_{kMostAtOnce}, resolves_{kMostAtOnce}, probes_{kMostAtOnce};
  CallLimit captures_{kMostCaptures};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeNetworkService(NodeApi& api) { return std::make_unique<NetworkService>(api); }

}  // namespace stele::machined
