// A server stream fed from the owner thread: messages wait in a bounded queue while one is written.
// Includes gRPC: for *_service.cc only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <mutex>
#include <utility>

#include "machined/owner_loop.h"

namespace stele::machined {

// Made with new; deletes itself on the owner thread when the call has ended, after `on_end` ran
// there. So whoever pushes on the owner thread may keep a pointer until `on_end`.
template <typename Response>
class StreamWriter : public grpc::ServerWriteReactor<Response> {
 public:
  static constexpr size_t kMaxWaiting = 1024;

  explicit StreamWriter(OwnerLoop& loop) : loop_(loop) {}

  // Owner thread, before the first Push.
  void OnEnd(std::function<void()> on_end) { on_end_ = std::move(on_end); }

  // Sends `message` after the ones before it. A reader who lets more than `kMaxWaiting` pile up is
  // ended with RESOURCE_EXHAUSTED; what exists when a stream begins may be pushed unbounded.
  void Push(Response message, bool bounded = true) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return;
    if (bounded && waiting_.size() >= kMaxWaiting) {
      waiting_.clear();
      CloseLocked({grpc::StatusCode::RESOURCE_EXHAUSTED,
                   "the reader is too slow: more than 1,024 changes are waiting; begin again"});
      return;
    }
    waiting_.push_back(std::move(message));
    NextLocked();
  }

  // Ends the stream after what is waiting was sent.
  void Close(const grpc::Status& status) {
    std::lock_guard<std::mutex> lock(mutex_);
    CloseLocked(status);
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (!ok) {
      waiting_.clear();
      CloseLocked({grpc::StatusCode::CANCELLED, "the reader went away"});
    }
    NextLocked();
  }

  void OnCancel() override {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.clear();
    CloseLocked({grpc::StatusCode::CANCELLED, "cancelled"});
  }

  void OnDone() override {
    loop_.Post([this] {
      if (on_end_) on_end_();
      delete this;
    });
  }

 private:
  void CloseLocked(const grpc::Status& status) {
    if (std::exchange(closed_, true)) return;
    status_ = status;
    NextLocked();
  }

  void NextLocked() {
    if (writing_ || finished_) return;
    if (!waiting_.empty()) {
      current_ = std::move(waiting_.front());
      waiting_.pop_front();
      writing_ = true;
      this->StartWrite(&current_);
    } else if (closed_) {
      finished_ = true;
      this->Finish(status_);
    }
  }

  OwnerLoop& loop_;
  std::function<void()> on_end_;
  std::mutex mutex_;
  std::deque<Response> waiting_;
  Response current_;
  grpc::Status status_;
  bool writing_ = false;
  bool closed_ = false;
  bool finished_ = false;
};

}  // namespace stele::machined
