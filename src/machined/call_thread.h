// Calls whose work waits for the network: each on a thread of its own, which ends with the call. So nothing of it
// touches the owner thread, and code that sends, waits and reads stays one story. Includes gRPC: for *_service.cc only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "machined/grpc_status.h"
#include "machined/network_debug/stop.h"
#include "machined/own_thread.h"

namespace stele::machined {

// How many calls of a kind may run. Any thread.
class CallLimit {
 public:
  explicit CallLimit(int most) : left_(most) {}

  // Holds one place; null when there is none.
  std::shared_ptr<void> Take() {
    if (left_.fetch_sub(1) <= 0) {
      left_.fetch_add(1);
      return nullptr;
    }
    return std::shared_ptr<void>(this, [](void* limit) { static_cast<CallLimit*>(limit)->left_.fetch_add(1); });
  }

 private:
  std::atomic<int> left_;
};

// What both kinds of calls have: the thread, and what stops it. Made with new; deletes itself in OnDone.
template <typename Reactor>
class CallThread : public Reactor {
 public:
  using Work = std::function<absl::Status()>;

  void OnCancel() override {
    if (stop_ != nullptr) stop_->Request();
  }

  void OnDone() override {
    thread_.End();
    delete this;
  }

 protected:
  // Runs `work` and finishes with its status. `limit` outlives the call.
  void Begin(CallLimit& limit, absl::string_view what, Work work) {
    place_ = limit.Take();
    if (place_ == nullptr) {
      return this->Finish({grpc::StatusCode::RESOURCE_EXHAUSTED,
                           absl::StrCat("too many ", what, " at a time: try again when one has ended")});
    }
    absl::StatusOr<std::unique_ptr<Stop>> stop = Stop::Create();
    if (!stop.ok()) return this->Finish(ToGrpc(stop.status()));
    stop_ = *std::move(stop);
    absl::Status started = thread_.Start([this, work = std::move(work)] {
      grpc::Status status = ToGrpc(work());
      Settle();
      place_ = nullptr;
      this->Finish(status);
    });
    if (!started.ok()) this->Finish(ToGrpc(started));
  }
  // On the thread, before it finishes.
  virtual void Settle() {}

  const Stop& stop() const { return *stop_; }

 private:
  std::shared_ptr<void> place_;
  std::unique_ptr<Stop> stop_;
  OwnThread thread_;
};

template <typename Response>
class UnaryThread : public CallThread<grpc::ServerUnaryReactor> {
 public:
  // `work` makes the response.
  void Run(CallLimit& limit, absl::string_view what, Response* response,
           std::function<absl::StatusOr<Response>(const Stop&)> work) {
    Begin(limit, what, [this, response, work = std::move(work)] {
      absl::StatusOr<Response> made = work(stop());
      if (!made.ok()) return made.status();
      *response = *std::move(made);
      return absl::OkStatus();
    });
  }
};

template <typename Response>
class StreamThread : public CallThread<grpc::ServerWriteReactor<Response>> {
 public:
  // Who takes nothing for so long is as good as gone.
  static constexpr absl::Duration kPatience = absl::Seconds(60);

  using Tell = std::function<bool(const Response&)>;

  explicit StreamThread(grpc::CallbackServerContext* context) : context_(context) {}

  // `work` gets what sends a response, which waits while the one before is on its way; so nothing piles up. It answers
  // false when nobody reads any more.
  void Run(CallLimit& limit, absl::string_view what, std::function<absl::Status(const Stop&, const Tell&)> work) {
    this->Begin(limit, what, [this, work = std::move(work)] {
      return work(this->stop(), [this](const Response& response) { return Send(response); });
    });
  }

  void OnWriteDone(bool ok) override {
    std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    gone_ = gone_ || !ok;
    changed_.notify_all();
  }

  void OnCancel() override {
    CallThread<grpc::ServerWriteReactor<Response>>::OnCancel();
    std::lock_guard<std::mutex> lock(mutex_);
    gone_ = true;
    changed_.notify_all();
  }

 private:
  bool Send(const Response& response) {
    std::unique_lock<std::mutex> lock(mutex_);
    bool free = changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience), [this] { return !writing_ || gone_; });
    if (!free) context_->TryCancel();
    if (!free || gone_) return false;
    current_ = response;
    writing_ = true;
    lock.unlock();  // gRPC may call OnWriteDone from here
    this->StartWrite(&current_);
    return true;
  }

  // A call may be finished only when nothing is being written.
  void Settle() override {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(kPatience), [this] { return !writing_; });
    if (!writing_) return;
    context_->TryCancel();
    changed_.wait(lock, [this] { return !writing_; });
  }

  grpc::CallbackServerContext* context_;
  Response current_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool writing_ = false;
  bool gone_ = false;
};

}  // namespace stele::machined
