// A node's API over mTLS. The only door to gRPC in osctl: commands see messages and absl::Status.
#pragma once

#include <google/protobuf/message_lite.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "osctl/client/address.h"
#include "osctl/client/conversation.h"
#include "osctl/client/keys.h"
#include "osctl/client/methods.h"

namespace grpc {
class ClientContext;
}

namespace stele::osctl {

// Connects at the first call. One thread at a time. A failure's status says exactly what is wrong
// with the connection (diagnose.h), and carries osctl's exit code.
class Node {
 public:
  // `timeout`: of each unary call, and of connecting for a stream.
  Node(Address address, ClientKeys keys, absl::Duration timeout);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // As the user wrote it, or as the inventory names it; what output and errors are prefixed with.
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  // Of everything together: from then on every call and stream ends with DEADLINE_EXCEEDED, which names `limit`.
  void set_limit(absl::Duration limit);
  bool expired() const { return absl::Now() >= deadline_; }
  absl::Status Expired() const;
  void set_timeout(absl::Duration timeout) { timeout_ = timeout; }
  // Of a whole stream; without it one may last for ever.
  void set_stream_limit(absl::Duration limit) { stream_limit_ = limit; }
  // When the last stream found a connection to begin on.
  absl::Time stream_began() const { return stream_began_; }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(const Method<Flow::kUnary, Request, Response>& method, const Request& request) {
    Response response;
    RETURN_IF_ERROR(CallUnary(method.path, request, &response));
    return response;
  }

  // Calls `each` for every message until the stream ends or `each` fails, which ends the stream.
  template <typename Request, typename Response>
  absl::Status Stream(const Method<Flow::kServerStream, Request, Response>& method, const Request& request,
                      const std::function<absl::Status(const Response&)>& each) {
    Response response;  // one for all: its buffers are used again
    return ReadStream(method.path, request, &response, [&] { return each(response); });
  }

  // From any thread: ends the stream under way, or the next one, which then answers CANCELLED.
  void CancelStream();

  // Sends what `next` fills in until it answers false; an error from it cancels the call.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Upload(const Method<Flow::kClientStream, Request, Response>& method,
                                  const std::function<absl::StatusOr<bool>(Request*)>& next) {
    Request request;
    Response response;
    RETURN_IF_ERROR(WriteStream(method.path, &request, &response, [&] { return next(&request); }));
    return response;
  }

  // Begins a call with messages both ways (conversation.h), which must end before the node does, and
  // within `limit`.
  template <typename Request, typename Response>
  absl::StatusOr<Conversation<Request, Response>> Begin(const Method<Flow::kBidi, Request, Response>& method,
                                                        absl::Duration limit) {
    ASSIGN_OR_RETURN(std::unique_ptr<RawConversation> raw, BeginRaw(method.path, limit));
    return Conversation<Request, Response>(std::move(raw));
  }

 private:
  struct Channel;
  class OpenCall;  // a RawConversation over the channel

  absl::Status Connect();  // makes channel_; looks the name up
  absl::Status AwaitReady();
  absl::Status CallUnary(const char* path, const google::protobuf::MessageLite& request,
                         google::protobuf::MessageLite* response);
  absl::Status ReadStream(const char* path, const google::protobuf::MessageLite& request,
                          google::protobuf::MessageLite* response, const std::function<absl::Status()>& each);
  absl::Status ReadAll(const char* path, grpc::ClientContext* context, const google::protobuf::MessageLite& request,
                       google::protobuf::MessageLite* response, const std::function<absl::Status()>& each);
  absl::Status WriteStream(const char* path, google::protobuf::MessageLite* request,
                           google::protobuf::MessageLite* response, const std::function<absl::StatusOr<bool>()>& next);
  absl::StatusOr<std::unique_ptr<RawConversation>> BeginRaw(const char* path, absl::Duration limit);
  // A failed call's status, with the connection examined where it may be the reason.
  absl::Status Explain(absl::Status status);
  // `wanted`, or what the node's limit leaves of it.
  absl::Duration Left(absl::Duration wanted) const;

  Address address_;
  ClientKeys keys_;
  absl::Duration timeout_;
  absl::Duration stream_limit_ = absl::InfiniteDuration();
  absl::Duration limit_ = absl::InfiniteDuration();
  absl::Time deadline_ = absl::InfiniteFuture();
  std::string name_;
  absl::Time stream_began_ = absl::InfinitePast();
  std::vector<SocketAddress> resolved_;
  std::unique_ptr<Channel> channel_;
  std::mutex stream_mutex_;
  std::function<void()> cancel_stream_;  // of the stream under way
  bool stream_cancelled_ = false;
};

// Whether a stream that ended so can go on after reconnecting: the connection or a daemon is gone,
// not the thing asked for.
bool IsConnectionLoss(const absl::Status& status);

}  // namespace stele::osctl
