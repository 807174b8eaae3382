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

  grpc::ServerUnaryReactor* StartService(grpc::CallbackServerContext* context,
                                         const machine::v1::StartServiceRequest* request,
                                         machine::v1::StartServiceResponse*) override {
    return Do(context, request->name(), "start", [this](const std::string& service, absl::Duration timeout, Done done) {
      api_.services.StartService(service, timeout, std::move(done));
    });
  }

  grpc::ServerUnaryReactor* StopService(grpc::CallbackServerContext* context,
                                        const machine::v1::StopServiceRequest* request,
                                        machine::v1::StopServiceResponse*) override {
    return Do(context, request->name(), "stop",
              [this, how = HowOf(request->force())](const std::string& service, absl::Duration timeout, Done done) {
                api_.services.StopService(service, how, timeout, std::move(done));
              });
  }

  grpc::ServerUnaryReactor* RestartService(grpc::CallbackServerContext* context,
                                           const machine::v1::RestartServiceRequest* request,
                                           machine::v1::RestartServiceResponse*) override {
    return Do(context, request->name(), "restart",
              [this, how = HowOf(request->force())](const std::string& service, absl::Duration timeout, Done done) {
                api_.services.RestartService(service, how, timeout, std::move(done));
              });
  }

 private:
  using Done = ServiceManager::Done;
  using Verb = std::function<void(const std::string& service, absl::Duration timeout, Done done)>;

  static ServiceManager::How HowOf(bool force) {
    return force ? ServiceManager::How::kForced : ServiceManager::How::kOrderly;
  }

  grpc::ServerUnaryReactor* Do(grpc::CallbackServerContext* context, const std::string& service, const char* what,
                               Verb verb) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    absl::Duration timeout = TimeLeft(*context, kLongest);
    api_.node.loop().Post([this, reactor, service, what, verb, timeout, caller = CallerOf(*context)] {
      verb(service, timeout, [this, reactor, service, what, caller](const absl::Status& status) {
        if (status.ok()) api_.node.Emit("service", service, absl::StrCat(what, " asked by ", caller, ": done"));
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
