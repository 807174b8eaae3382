#include "machined/cri_version.h"

#include <grpcpp/grpcpp.h>

#include "k8s.io/cri-api/pkg/apis/runtime/v1/api.grpc.pb.h"

namespace stele::machined {

absl::StatusOr<std::string> CriVersion(const std::string& socket, absl::Duration timeout) {
  // A channel of its own: what fails here must not leave a shared one in back-off.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  auto channel =
      grpc::CreateCustomChannel(absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(), arguments);
  auto stub = ::runtime::v1::RuntimeService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  ::runtime::v1::VersionRequest request;
  ::runtime::v1::VersionResponse response;
  grpc::Status status = stub->Version(&context, request, &response);
  if (!status.ok())
    return absl::UnavailableError(absl::StrCat("CRI Version over ", socket, ": ", status.error_message()));
  return response.runtime_version();
}

}  // namespace stele::machined
