// One call that streams what a thread of its own finds on a disk. Includes gRPC: for *_service.cc only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "base/status.h"
#include "machined/grpc_status.h"

namespace stele::machined {

// Calls at a time: each has a thread while it lasts.
inline constexpr int kMaxFileCalls = 16;
// A client that takes nothing for so long holds a place that others want.
inline constexpr absl::Duration kMaxFileStall = absl::Minutes(5);

// Made with new; runs `work` on its thread, and deletes itself when the call has ended. At most one message waits for
// the client while the next one is made, so a slow client is a slow walk.
template <typename Response>
class FileCall : public grpc::ServerWriteReactor<Response> {
 public:
  using Work = std::function<absl::Status(FileCall&)>;

  // `under_way` counts the calls there are.
  FileCall(grpc::CallbackServerContext* context, std::shared_ptr<std::atomic<int>> under_way, Work work)
      : context_(context), under_way_(std::move(under_way)), work_(std::move(work)) {
    if (under_way_->fetch_add(1) >= kMaxFileCalls) {
      this->Finish(
          {grpc::StatusCode::RESOURCE_EXHAUSTED,
           absl::StrCat("the node reads files for ", kMaxFileCalls, " calls already: try again when one has ended")});
      return;
    }
    thread_ = std::thread([this] { Run(); });
  }

  // All three on the call's thread. Waits until the message before this one is on its way.
  absl::Status Send(Response&& response) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      RETURN_IF_ERROR(AwaitWritten(lock));
      std::swap(response_, response);
      writing_ = true;
    }
    this->StartWrite(&response_);
    return absl::OkStatus();
  }
  // CANCELLED once the client is gone.
  absl::Status KeepGoing() { return cancelled_ ? absl::CancelledError("the client went away") : absl::OkStatus(); }
  // The same after a while, or as soon as that is so.
  absl::Status Pause(absl::Duration pause) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return cancelled_.load(); });
    return KeepGoing();
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (!ok) cancelled_ = true;
    changed_.notify_all();
  }

  void OnCancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

  void OnDone() override {
    // gRPC may call from inside Run's Finish, which is its last act.
    if (thread_.get_id() == std::this_thread::get_id()) {
      thread_.detach();
    } else if (thread_.joinable()) {
      thread_.join();
    }
    under_way_->fetch_sub(1);
    delete this;
  }

 private:
  void Run() {
    absl::Status status = work_(*this);
    {
      // gRPC wants no end while a message is under way; one of a cancelled call comes back at once.
      std::unique_lock<std::mutex> lock(mutex_);
      absl::Status written = AwaitWritten(lock);
      if (status.ok()) status = written;
      changed_.wait(lock, [this] { return !writing_; });
    }
    this->Finish(ToGrpc(status));
  }

  absl::Status AwaitWritten(std::unique_lock<std::mutex>& lock) {
    bool taken =
        changed_.wait_for(lock, absl::ToChronoNanoseconds(kMaxFileStall), [this] { return !writing_ || cancelled_; });
    if (taken) return KeepGoing();
    context_->TryCancel();
    return absl::DeadlineExceededError("the client took nothing for 5 minutes");
  }

  grpc::CallbackServerContext* context_;
  std::shared_ptr<std::atomic<int>> under_way_;
  const Work work_;
  Response response_;  // gRPC's while it writes
  std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;
  std::atomic<bool> cancelled_ = false;
  std::thread thread_;
};

}  // namespace stele::machined
