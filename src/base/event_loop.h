// One thread's epoll loop: descriptors and who handles them.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "base/status.h"
#include "base/unique_fd.h"

namespace stele {

// Handles one descriptor's readiness. Outlives its registration.
class FdHandler {
 public:
  virtual ~FdHandler() = default;
  // `events` as in epoll_wait(2). May add and remove descriptors, its own included.
  virtual void OnReady(uint32_t events) = 0;
};

// Allocates only in Create. Every call is made by the thread that runs the loop.
class EventLoop {
 public:
  static absl::StatusOr<EventLoop> Create();
  EventLoop(EventLoop&&) = default;
  EventLoop& operator=(EventLoop&&) = default;

  // Borrows `fd` and `handler`; both must stay until Remove. Level-triggered.
  absl::Status Add(int fd, uint32_t events, FdHandler* handler);
  absl::Status Modify(int fd, uint32_t events, FdHandler* handler);
  // Drops `fd`, also from the events of the turn that is under way.
  void Remove(int fd, FdHandler* handler);

  // Waits at most `timeout_ms` (-1: for ever) and calls the handlers of one turn.
  absl::Status RunOnce(int timeout_ms);
  // The two halves of RunOnce, for who has something to do in between.
  absl::Status Wait(int timeout_ms);
  void Dispatch();
  int pending() const { return pending_ - next_; }  // events to dispatch

 private:
  static constexpr int kEventsPerTurn = 64;
  explicit EventLoop(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
  epoll_event events_[kEventsPerTurn] = {};
  int pending_ = 0;  // events of this turn not yet handled, at the end of events_
  int next_ = 0;
};

}  // namespace stele
