// One call that streams what a thread of its own finds on a disk. Includes gRPC: for *_service.cc only.
#pragma once

#include <google/protobuf/message_lite.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "absl/time/time.h"
#include "base/status.h"
#include "machined/own_thread.h"

namespace stele::machined {

// Calls at a time: each has a thread while it lasts.
inline constexpr int kMaxFileCalls = 16;
// Made with new; runs `work` on its thread, and deletes itself when the call has ended. At most one message waits for
// the client while the next one is made, so a slow client is a slow walk. Messages go out as bytes, so that one class
// serves all calls.
class FileCall : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  using Work = std::function<absl::Status(FileCall&)>;

  // `under_way` counts the calls there are. A client that takes nothing for `stall` is given up: it holds a place that
  // others want.
  FileCall(grpc::CallbackServerContext* context, std::shared_ptr<std::atomic<int>> under_way, absl::Duration stall,
           Work work);

  // All three on the call's thread. Waits until the message before this one is on its way.
  absl::Status Send(const google::protobuf::MessageLite& message);
  // CANCELLED once the client is gone.
  absl::Status KeepGoing() { return cancelled_ ? absl::CancelledError("the client went away") : absl::OkStatus(); }
  // The same after a while, or as soon as that is so.
  absl::Status Pause(absl::Duration pause);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Run();
  absl::Status AwaitWritten(std::unique_lock<std::mutex>& lock);

  grpc::CallbackServerContext* context_;
  std::shared_ptr<std::atomic<int>> under_way_;
  const absl::Duration stall_;
  const Work work_;
  grpc::ByteBuffer message_;  // gRPC's while it writes
  std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;
  std::atomic<bool> cancelled_ = false;
  OwnThread thread_;
};

}  // namespace stele::machined
