// ContainerService: what is done to containers, through CRI.
#include "machined/api.h"
#include "machined/caller.h"
#include "machined/container_log.h"
#include "machined/cri_client.h"
#include "machined/work_call.h"
#include "services/containerd.h"
#include "stele/machine/v1/container_service.grpc.pb.h"
#include "stele/resource/v1/workload.pb.h"

namespace stele::machined {
namespace {

using machine::v1::RestartContainerRequest;
using machine::v1::RestartContainerResponse;

constexpr uint32_t kMostGrace = 300;
constexpr int kMostCalls = 4;

class ContainerService final : public machine::v1::ContainerService::CallbackService {
 public:
  explicit ContainerService(NodeApi& api) : api_(api) {}

  grpc::ServerUnaryReactor* RestartContainer(grpc::CallbackServerContext* context,
                                             const RestartContainerRequest* request,
                                             RestartContainerResponse* response) override {
    return new WorkCall(places_, [this, request, response, caller = CallerOf(*context)] {
      return Restart(*request, caller, *response);
    });
  }

 private:
  absl::Status Restart(const RestartContainerRequest& request, const std::string& caller,
                       RestartContainerResponse& response) {
    if (request.grace_seconds() > kMostGrace)
      return absl::InvalidArgumentError(absl::StrCat("a container gets at most ", kMostGrace, " seconds to end"));
    using Found = absl::StatusOr<ResourcePtr>;
    ASSIGN_OR_RETURN(ResourcePtr found, OnOwner<Found>(api_.node.loop(), [&]() -> Found {
                       return FindContainer(api_.node.store(), request.container());
                     }));
    const auto& container = static_cast<const resource::v1::Container&>(*found->body);
    std::string name = absl::StrCat(container.pod(), "/", container.name());
    if (container.state() != "Running")
      return absl::FailedPreconditionError(
          absl::StrCat("container ", name, " does not run: it is ", container.state()));
    RETURN_IF_ERROR(
        StopContainer(services::kContainerdSocket, container.container_id(), absl::Seconds(request.grace_seconds())));
    response.set_container(name);
    response.set_container_id(container.container_id());
    api_.node.loop().Post([node = &api_.node, name, caller] {
      node->Emit("container", name,
                 absl::StrCat("ended, asked by ", caller, ": the kubelet starts it again as its pod says"));
    });
    return absl::OkStatus();
  }

  NodeApi& api_;
  CallPlaces places_{kMostCalls};
};

}  // namespace

std::unique_ptr<grpc::Service> MakeContainerService(NodeApi& api) { return std::make_unique<ContainerService>(api); }

}  // namespace stele::machined
