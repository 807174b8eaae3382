// For tests: the fake node's view of the network.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <thread>
#include <vector>

#include "osctl/fake_state.h"
#include "stele/machine/v1/network_service.grpc.pb.h"

namespace stele::osctl {

class FakeNetwork : public v1::NetworkService::Service {
 public:
  explicit FakeNetwork(FakeState* state) : state_(state) {}
  grpc::Status Ping(grpc::ServerContext* context, const v1::PingRequest* request,
                    grpc::ServerWriter<v1::PingResponse>* writer) override {
    state_->Record(absl::StrCat("ping ", request->ShortDebugString()));
    return Play(context, state_->net.pings, writer);
  }
  grpc::Status TraceRoute(grpc::ServerContext* context, const v1::TraceRouteRequest* request,
                          grpc::ServerWriter<v1::TraceRouteResponse>* writer) override {
    state_->Record(absl::StrCat("traceroute ", request->ShortDebugString()));
    return Play(context, state_->net.hops, writer);
  }
  grpc::Status Resolve(grpc::ServerContext*, const v1::ResolveRequest* request,
                       v1::ResolveResponse* response) override {
    state_->Record(absl::StrCat("resolve ", request->ShortDebugString()));
    *response = state_->net.resolved;
    return state_->answer;
  }
  grpc::Status Probe(grpc::ServerContext*, const v1::ProbeRequest* request, v1::ProbeResponse* response) override {
    state_->Record(absl::StrCat("probe ", request->ShortDebugString()));
    *response = state_->net.probed;
    return state_->answer;
  }
  grpc::Status Capture(grpc::ServerContext* context, const v1::CaptureRequest* request,
                       grpc::ServerWriter<v1::CaptureResponse>* writer) override {
    state_->Record(absl::StrCat("capture ", request->ShortDebugString()));
    return Play(context, state_->net.captured, writer);
  }

 private:
  template <typename Response>
  grpc::Status Play(grpc::ServerContext* context, const std::vector<Response>& responses,
                    grpc::ServerWriter<Response>* writer) {
    for (const Response& response : responses) writer->Write(response);
    state_->net.waiting = true;
    while (state_->net.endless && !context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (state_->net.endless) ++state_->net.cancelled;
    return state_->net.answer;
  }

  FakeState* state_;
};

}  // namespace stele::osctl
