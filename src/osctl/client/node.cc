#include "osctl/client/node.h"

#include <grpc/support/log.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/rpc_method.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/sync_stream.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "osctl/client/diagnose.h"
#include "osctl/client/tcp.h"
#include "osctl/failure.h"

namespace stele::osctl {
namespace {

using google::protobuf::MessageLite;
using grpc::internal::RpcMethod;

constexpr int kMaxMessage = 16 << 20;
constexpr absl::Duration kDiagnosisTimeout = absl::Seconds(3);
constexpr absl::Duration kReconnectWait = absl::Milliseconds(500);

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::chrono::system_clock::time_point In(absl::Duration duration) { return absl::ToChronoTime(absl::Now() + duration); }

// gRPC writes its own view of a failed handshake to stderr; ours is better, and one line.
void SilenceGrpc() {
  if (std::getenv("GRPC_VERBOSITY") != nullptr) return;  // somebody hunts a fault
  gpr_set_log_function([](gpr_log_func_args*) {});
}

// "ipv4:a:p,b:p": a literal list, so that gRPC's own resolver has nothing to do. It takes one family
// at a time.
std::string Target(const std::vector<SocketAddress>& addresses) {
  std::vector<std::string> texts;
  for (const SocketAddress& address : addresses) texts.push_back(address.Text());
  return absl::StrCat(addresses.front().storage.ss_family == AF_INET ? "ipv4:" : "ipv6:", absl::StrJoin(texts, ","));
}

// Of a name with addresses of both families, those of the family that answers.
std::vector<SocketAddress> OneFamily(std::vector<SocketAddress> addresses, absl::Duration timeout) {
  auto family = [](const SocketAddress& address) { return address.storage.ss_family; };
  bool mixed = std::any_of(addresses.begin(), addresses.end(),
                           [&](const SocketAddress& address) { return family(address) != family(addresses.front()); });
  if (!mixed) return addresses;
  absl::StatusOr<TcpConnection> connection = ConnectAny(addresses, absl::Now() + timeout);
  int chosen = family(addresses[connection.ok() ? connection->index : 0]);
  addresses.erase(std::remove_if(addresses.begin(), addresses.end(),
                                 [&](const SocketAddress& address) { return family(address) != chosen; }),
                  addresses.end());
  return addresses;
}

grpc::ChannelArguments Arguments(const std::string& server_name, absl::Duration timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetSslTargetNameOverride(server_name);
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  // A killed apid is back in a fraction of a second; gRPC's own back-off would wait a whole one.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  // Its real meaning: how long one attempt, TCP and TLS, may take.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // another channel is another connection
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);          // a node is not reached through a web proxy
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);  // nobody looks, and it remembers each of a thousand channels
  // A follower must notice a node that lost its power, although nothing is ever sent to it.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  return arguments;
}

}  // namespace

struct Node::Channel {
  std::shared_ptr<grpc::Channel> grpc;
};

Node::Node(Address address, ClientKeys keys, absl::Duration timeout)
    : address_(std::move(address)), keys_(std::move(keys)), timeout_(timeout), name_(address_.Text()) {
  if (keys_.server_name.empty()) keys_.server_name = address_.host;
}

Node::~Node() = default;

void Node::set_limit(absl::Duration limit) {
  limit_ = limit;
  deadline_ = absl::Now() + limit;
}

absl::Status Node::Expired() const {
  return Failure(absl::StatusCode::kDeadlineExceeded, ExitCode::kUnreachable,
                 absl::StrCat("not done within ", absl::FormatDuration(limit_)), "give it longer with --deadline");
}

absl::Duration Node::Left(absl::Duration wanted) const {
  return std::max(absl::ZeroDuration(), std::min(wanted, deadline_ - absl::Now()));
}

absl::Status Node::Connect() {
  if (expired()) return Expired();
  if (channel_ != nullptr) return absl::OkStatus();
  SilenceGrpc();
  ASSIGN_OR_RETURN(std::vector<SocketAddress> found, Resolve(address_, Left(timeout_)));
  resolved_ = OneFamily(std::move(found), Left(timeout_));
  grpc::SslCredentialsOptions options{keys_.ca, keys_.key, keys_.certificate};
  channel_ = std::make_unique<Channel>();
  channel_->grpc = grpc::CreateCustomChannel(Target(resolved_), grpc::SslCredentials(options),
                                             Arguments(keys_.server_name, timeout_));
  return absl::OkStatus();
}

absl::Status Node::AwaitReady() {
  grpc_connectivity_state state = channel_->grpc->GetState(true);
  // After a failure the channel goes on trying by itself and says so only when it has succeeded.
  bool failed_before = state == GRPC_CHANNEL_TRANSIENT_FAILURE;
  auto deadline = In(Left(failed_before ? std::min(timeout_, kReconnectWait) : timeout_));
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE && !failed_before) return absl::UnavailableError("cannot connect");
    if (state == GRPC_CHANNEL_SHUTDOWN) return absl::InternalError("the channel is shut down");
    if (!channel_->grpc->WaitForStateChange(state, deadline)) {
      if (failed_before) return absl::UnavailableError("cannot connect");
      return absl::DeadlineExceededError(absl::StrCat("no connection within ", absl::FormatDuration(timeout_)));
    }
    state = channel_->grpc->GetState(true);
  }
  stream_began_ = absl::Now();
  return absl::OkStatus();
}

absl::Status Node::CallUnary(const char* path, const MessageLite& request, MessageLite* response) {
  RETURN_IF_ERROR(Connect());
  grpc::ClientContext context;
  context.set_deadline(In(Left(timeout_)));
  RpcMethod method(path, RpcMethod::NORMAL_RPC, channel_->grpc);
  absl::Status status = Explain(FromGrpc(grpc::internal::BlockingUnaryCall<MessageLite, MessageLite>(
      channel_->grpc.get(), method, &context, request, response)));
  // The next call makes another connection. A machine that was reset does not close its own, and what is sent on one
  // gets no answer for ever; and gRPC 1.51 goes on with a lost one's handshake only while a call waits, else every 5 s.
  if (absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) channel_.reset();
  return status;
}

absl::Status Node::ReadStream(const char* path, const MessageLite& request, MessageLite* response,
                              const std::function<absl::Status()>& each) {
  RETURN_IF_ERROR(Connect());
  if (absl::Status ready = AwaitReady(); !ready.ok()) return Explain(std::move(ready));
  grpc::ClientContext context;
  absl::Duration left = Left(stream_limit_);
  if (left != absl::InfiniteDuration()) context.set_deadline(In(left));
  {
    std::lock_guard<std::mutex> lock(stream_mutex_);
    cancel_stream_ = [&context] { context.TryCancel(); };
    if (stream_cancelled_) context.TryCancel();
  }
  absl::Status status = ReadAll(path, &context, request, response, each);
  std::lock_guard<std::mutex> lock(stream_mutex_);
  cancel_stream_ = nullptr;
  return stream_cancelled_ ? absl::CancelledError("cancelled") : status;
}

void Node::CancelStream() {
  std::lock_guard<std::mutex> lock(stream_mutex_);
  stream_cancelled_ = true;
  if (cancel_stream_) cancel_stream_();
}

absl::Status Node::ReadAll(const char* path, grpc::ClientContext* context, const MessageLite& request,
                           MessageLite* response, const std::function<absl::Status()>& each) {
  RpcMethod method(path, RpcMethod::SERVER_STREAMING, channel_->grpc);
  std::unique_ptr<grpc::ClientReader<MessageLite>> reader(
      grpc::internal::ClientReaderFactory<MessageLite>::Create<MessageLite>(channel_->grpc.get(), method, context,
                                                                            request));
  while (reader->Read(response)) {
    absl::Status status = each();
    if (status.ok()) continue;
    context->TryCancel();
    while (reader->Read(response)) {
    }
    reader->Finish().IgnoreError();  // cancelled by us: its status says no more
    return status;
  }
  return Explain(FromGrpc(reader->Finish()));
}

absl::Status Node::WriteStream(const char* path, MessageLite* request, MessageLite* response,
                               const std::function<absl::StatusOr<bool>()>& next) {
  RETURN_IF_ERROR(Connect());
  if (absl::Status ready = AwaitReady(); !ready.ok()) return Explain(std::move(ready));
  grpc::ClientContext context;
  absl::Duration left = Left(absl::InfiniteDuration());
  if (left != absl::InfiniteDuration()) context.set_deadline(In(left));
  RpcMethod method(path, RpcMethod::CLIENT_STREAMING, channel_->grpc);
  std::unique_ptr<grpc::ClientWriter<MessageLite>> writer(
      grpc::internal::ClientWriterFactory<MessageLite>::Create<MessageLite>(channel_->grpc.get(), method, &context,
                                                                            response));
  while (true) {
    absl::StatusOr<bool> more = next();
    if (!more.ok()) {
      context.TryCancel();
      writer->Finish().IgnoreError();  // cancelled by us
      return more.status();
    }
    // Write fails when the node ended the call; Finish says why.
    if (!*more || !writer->Write(*request)) break;
  }
  writer->WritesDone();
  return Explain(FromGrpc(writer->Finish()));
}

class Node::OpenCall : public RawConversation {
 public:
  OpenCall(Node* node, const char* path, absl::Duration limit) : node_(node) {
    context_.set_deadline(In(limit));
    RpcMethod method(path, RpcMethod::BIDI_STREAMING, node->channel_->grpc);
    stream_.reset(grpc::internal::ClientReaderWriterFactory<MessageLite, MessageLite>::Create(
        node->channel_->grpc.get(), method, &context_));
  }
  // gRPC wants every stream read to its end.
  ~OpenCall() override {
    if (finished_) return;
    context_.TryCancel();
    stream_->Finish().IgnoreError();  // cancelled by us
  }

  bool Write(const MessageLite& request) override { return stream_->Write(request); }
  bool Read(MessageLite* response) override { return stream_->Read(response); }
  void WritesDone() override { stream_->WritesDone(); }
  void Cancel() override { context_.TryCancel(); }
  absl::Status Finish() override {
    finished_ = true;
    return node_->Explain(FromGrpc(stream_->Finish()));
  }

 private:
  Node* node_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<MessageLite, MessageLite>> stream_;
  bool finished_ = false;
};

absl::StatusOr<std::unique_ptr<RawConversation>> Node::BeginRaw(const char* path, absl::Duration limit) {
  RETURN_IF_ERROR(Connect());
  if (absl::Status ready = AwaitReady(); !ready.ok()) return Explain(std::move(ready));
  return std::unique_ptr<RawConversation>(std::make_unique<OpenCall>(this, path, Left(limit)));
}

absl::Status Node::Explain(absl::Status status) {
  if (!status.ok() && expired()) return Expired();
  bool connected = channel_->grpc->GetState(false) == GRPC_CHANNEL_READY;
  bool doubtful = absl::IsUnavailable(status) || (absl::IsDeadlineExceeded(status) && !connected);
  if (!doubtful) {
    if (absl::IsDeadlineExceeded(status) && status.message() == "Deadline Exceeded") {
      return absl::DeadlineExceededError(absl::StrCat("no answer within ", absl::FormatDuration(timeout_)));
    }
    return status;
  }
  absl::Status diagnosis = Diagnose(resolved_, keys_, Left(std::min(timeout_, kDiagnosisTimeout)));
  if (diagnosis.ok()) return status;
  // A time-out stays one, whatever the second look met.
  if (absl::IsDeadlineExceeded(diagnosis)) {
    return Failure(absl::StatusCode::kUnavailable, ExitCode::kUnreachable, diagnosis.message(),
                   "check that the node is up, its address, and what lies between");
  }
  return diagnosis;
}

bool IsConnectionLoss(const absl::Status& status) {
  if (ExitCodeOf(status) == ExitCode::kAuthentication) return false;
  if (absl::IsUnavailable(status)) return true;
  // How gRPC 1.51 tells of a stream whose server process was killed at a bad moment, under any code.
  return absl::StrContains(status.message(), "RST_STREAM") || absl::StrContains(status.message(), "Stream removed");
}

}  // namespace stele::osctl
