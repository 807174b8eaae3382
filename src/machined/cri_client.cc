#include "machined/cri_client.h"

#include <grpcpp/grpcpp.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "k8s.io/cri-api/pkg/apis/runtime/v1/api.grpc.pb.h"
#include "machined/cri_snapshot.h"

namespace stele::machined {
namespace {

namespace cri = ::runtime::v1;

// A node holds hundreds of containers and images, each a few KiB in a list.
constexpr int kMaxMessage = 16 << 20;
// What a busy containerd may need besides the time that it was given.
constexpr absl::Duration kVerbTimeout = absl::Seconds(30);

std::shared_ptr<grpc::Channel> Connect(const std::string& socket) {
  grpc::ChannelArguments arguments;
  // Not shared: what one client finds absent must not leave another in back-off.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  // containerd comes back within a second or two: gRPC's two minutes of back-off would miss it.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  return grpc::CreateCustomChannel(absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments);
}

template <typename Stub, typename Request, typename Response>
using CriMethod = grpc::Status (Stub::*)(grpc::ClientContext*, const Request&, Response*);

template <typename Stub, typename Request, typename Response>
absl::Status CallCri(absl::string_view name, Stub& stub, CriMethod<Stub, Request, Response> method,
                     const Request& request, Response* response, absl::Time deadline) {
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline));
  grpc::Status status = (stub.*method)(&context, request, response);
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat("CRI ", name, ": ", status.error_message()));
}

class CriClientImpl : public CriClient {
 public:
  explicit CriClientImpl(const std::shared_ptr<grpc::Channel>& channel)
      : runtime_(cri::RuntimeService::NewStub(channel)), images_(cri::ImageService::NewStub(channel)) {}

  absl::StatusOr<CriSnapshot> List(absl::Duration timeout) override {
    deadline_ = absl::Now() + timeout;
    CriAnswers answers;
    cri::ListPodSandboxResponse sandboxes;
    RETURN_IF_ERROR(Call("ListPodSandbox", *runtime_, &cri::RuntimeService::Stub::ListPodSandbox,
                         cri::ListPodSandboxRequest(), &sandboxes));
    cri::ListContainersResponse containers;
    RETURN_IF_ERROR(Call("ListContainers", *runtime_, &cri::RuntimeService::Stub::ListContainers,
                         cri::ListContainersRequest(), &containers));
    cri::ListImagesResponse images;
    RETURN_IF_ERROR(
        Call("ListImages", *images_, &cri::ImageService::Stub::ListImages, cri::ListImagesRequest(), &images));
    answers.sandboxes.assign(sandboxes.items().begin(), sandboxes.items().end());
    answers.containers.assign(containers.containers().begin(), containers.containers().end());
    answers.images.assign(images.images().begin(), images.images().end());
    for (const cri::PodSandbox& sandbox : answers.sandboxes) Look(sandbox);
    for (const cri::Container& container : answers.containers) Look(container);
    Forget(answers);
    answers.sandbox_details = sandboxes_;
    for (const auto& [id, known] : containers_) answers.container_details[id] = known.details;
    return SnapshotOf(answers);
  }

 private:
  struct Known {
    cri::ContainerState state = cri::CONTAINER_UNKNOWN;
    ContainerDetails details;
  };

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(absl::string_view name, Stub& stub, CriMethod<Stub, Request, Response> method,
                    const Request& request, Response* response) {
    return CallCri(name, stub, method, request, response, deadline_);
  }

  // A sandbox gets its address with its network and keeps it. One that vanished meanwhile is no error.
  void Look(const cri::PodSandbox& sandbox) {
    SandboxDetails& details = sandboxes_[sandbox.id()];
    if (!details.address.empty() || sandbox.state() != cri::SANDBOX_READY) return;
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(sandbox.id());
    cri::PodSandboxStatusResponse response;
    if (!Call("PodSandboxStatus", *runtime_, &cri::RuntimeService::Stub::PodSandboxStatus, request, &response).ok())
      return;
    details.address = response.status().network().ip();
  }

  void Look(const cri::Container& container) {
    auto found = containers_.find(container.id());
    if (found != containers_.end() && found->second.state == container.state()) return;
    cri::ContainerStatusRequest request;
    request.set_container_id(container.id());
    request.set_verbose(true);  // the process id is only there
    cri::ContainerStatusResponse response;
    if (!Call("ContainerStatus", *runtime_, &cri::RuntimeService::Stub::ContainerStatus, request, &response).ok())
      return;
    Known& known = containers_[container.id()];
    known.state = container.state();
    known.details.image = response.status().image().image();
    known.details.log_path = response.status().log_path();
    auto info = response.info().find("info");
    known.details.pid = info == response.info().end() ? 0 : PidOfInfo(info->second);
  }

  void Forget(const CriAnswers& answers) {
    std::set<absl::string_view> alive;
    for (const cri::PodSandbox& sandbox : answers.sandboxes) alive.insert(sandbox.id());
    for (const cri::Container& container : answers.containers) alive.insert(container.id());
    for (auto it = sandboxes_.begin(); it != sandboxes_.end();)
      it = alive.count(it->first) > 0 ? std::next(it) : sandboxes_.erase(it);
    for (auto it = containers_.begin(); it != containers_.end();)
      it = alive.count(it->first) > 0 ? std::next(it) : containers_.erase(it);
  }

  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;
  absl::Time deadline_;
  std::map<std::string, SandboxDetails> sandboxes_;
  std::map<std::string, Known> containers_;
};

}  // namespace

absl::Status CriReady(const std::string& socket, absl::string_view pause_image, absl::Duration timeout) {
  ASSIGN_OR_RETURN(CriSnapshot snapshot, CriClient::Create(socket)->List(timeout));
  if (snapshot.HasImage(pause_image)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the pause image ", pause_image, " is not there yet"));
}

absl::Status StopContainer(const std::string& socket, const std::string& id, absl::Duration grace) {
  auto runtime = cri::RuntimeService::NewStub(Connect(socket));
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(absl::ToInt64Seconds(grace));
  cri::StopContainerResponse response;
  return CallCri("StopContainer", *runtime, &cri::RuntimeService::Stub::StopContainer, request, &response,
                 absl::Now() + grace + kVerbTimeout);
}

absl::Status RemoveImage(const std::string& socket, const std::string& id) {
  auto images = cri::ImageService::NewStub(Connect(socket));
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(id);
  cri::RemoveImageResponse response;
  return CallCri("RemoveImage", *images, &cri::ImageService::Stub::RemoveImage, request, &response,
                 absl::Now() + kVerbTimeout);
}

std::unique_ptr<CriClient> CriClient::Create(const std::string& socket) {
  return std::make_unique<CriClientImpl>(Connect(socket));
}

}  // namespace stele::machined
