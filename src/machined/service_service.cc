// ServiceService: the verbs of the service manager.
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/grpc_status.h"
#include "machined/service_manager.h"
#include "stele/machine/v1/service_service.grpc.pb.h"

namespace stele::machined {
namespace {

// Longer than any service's stop deadline and start under emulation.
constexpr absl::Duration kLongest = absl::Minutes(3);

class ServiceService final : public machine::v1::ServiceService::CallbackService {
 public:
  explicit ServiceService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* StartService(grpc::CallbackServerContext* context, const machine::v1::StartServiceRequest* request,
                                         machine::v1::StartServiceResponse*) override {
    return Do(context, request->name(), "start", &ServiceManager::StartService);
  }
  grpc::ServerUnaryReactor* StopService(grpc::CallbackServerContext* context, const machine::v1::StopServiceRequest* request,
                                        machine::v1::StopServiceResponse*) override {
    return Do(context, request->name(), "stop", &ServiceManager::StopService);
  }
  grpc::ServerUnaryReactor* RestartService(grpc::CallbackServerContext* context,
                                           const machine::v1::RestartServiceRequest* request,
                                           machine::v1::RestartServiceResponse*) override {
    return Do(context, request->name(), "restart", &ServiceManager::RestartService);
  }

 private:
  using Verb = void (ServiceManager::*)(absl::string_view, absl::Duration, ServiceManager::Done);

  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, const std::string& service, const char* verb, Verb run) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    api_.node.loop().Post([this, reactor, service, verb, run, caller = CallerOf(*context), timeout = TimeLeft(*context, kLongest)] {
      (api_.services.*run)(service, timeout, [this, reactor, service, verb, caller](const absl::Status& status) {
        if (status.ok()) api_.node.Emit("service", service, absl::StrCat(verb, " asked by ", caller, ": done"));
        reactor->Finish(ToGrpc(status));
      });
    });
    return reactor;
  }

  NodeApi& api_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeServiceService(NodeApi& api) { return std::make_unique<ServiceService>(api); }

}  // namespace stele::machined
