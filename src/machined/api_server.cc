#include "machined/api_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/resource_quota.h>
#include <sys/socket.h>

#include "machined/log.h"
#include "machined/metrics/call_counts.h"

namespace stele::machined {
namespace {

// A configuration is at most 1 MiB, an image chunk 256 KiB.
constexpr int kMaxMessage = 2 << 20;
constexpr int kFrame = 256 * 1024;
constexpr int kWindow = 512 * 1024;
constexpr size_t kMaxMemory = 64 << 20;
// At once; the rest waits in the backlog for the next turn.
constexpr int kAcceptsPerTurn = 32;

class ApiServerImpl : public ApiServer, public FdHandler {
 public:
  ApiServerImpl(OwnerLoop& loop, UniqueFd listener, uid_t client_uid,
                std::vector<std::unique_ptr<grpc::Service>> services)
      : loop_(loop), listener_(std::move(listener)), client_uid_(client_uid), services_(std::move(services)) {}

  ~ApiServerImpl() override {
    loop_.events().Remove(listener_.get(), this);
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
  }

  absl::Status Start() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    grpc::ResourceQuota quota("machined");
    quota.Resize(kMaxMemory);
    builder.SetResourceQuota(quota);
    builder.SetMaxReceiveMessageSize(kMaxMessage);
    // Clients that know how to read our log chunks zip nothing: the socket is a pipe in memory.
    builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
    // apid is at the other end, and keeps the windows of clients: whole chunks in few frames, few turns and few reads.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrame);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kWindow);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, kFrame);
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
    builder.experimental().SetInterceptorCreators(CallCounts::Interceptors());
    for (const std::unique_ptr<grpc::Service>& service : services_) builder.RegisterService(service.get());
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return absl::InternalError("start the gRPC server");
    return Annotate(loop_.events().Add(listener_.get(), EPOLLIN, this), "listen for API calls");
  }

  void OnReady(uint32_t) override {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!connection.ok()) return OnAcceptFailed();
      ucred peer;
      socklen_t size = sizeof peer;
      if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) continue;
      if (peer.uid != 0 && peer.uid != client_uid_) {
        Log("warning: refused a connection of pid ", peer.pid, ", user ", peer.uid);
        continue;
      }
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.listener_fd = -1;
      parameters.fd = connection.release();  // gRPC's from here on
      acceptor_->HandleNewConnection(&parameters);
    }
  }

 private:
  void OnAcceptFailed() {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return;
    // Out of descriptors: the socket stays readable, so wait instead of spinning.
    Log("warning: ", ErrnoStatus("accept an API connection").message());
    loop_.events().Remove(listener_.get(), this);
    loop_.After(absl::Seconds(1), [this] {
      if (!loop_.events().Add(listener_.get(), EPOLLIN, this).ok()) Log("error: cannot listen for API calls any more");
    });
  }

  OwnerLoop& loop_;
  UniqueFd listener_;
  uid_t client_uid_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ApiServer>> ApiServer::Start(OwnerLoop& loop, UniqueFd listener, uid_t client_uid,
                                                            std::vector<std::unique_ptr<grpc::Service>> services) {
  auto server = std::make_unique<ApiServerImpl>(loop, std::move(listener), client_uid, std::move(services));
  RETURN_IF_ERROR(server->Start());
  return server;
}

}  // namespace stele::machined
