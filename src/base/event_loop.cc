#include "base/event_loop.h"

namespace stele {

absl::StatusOr<EventLoop> EventLoop::Create() {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.ok()) return ErrnoStatus("create an epoll instance");
  return EventLoop(std::move(epoll));
}

absl::Status EventLoop::Add(int fd, uint32_t events, FdHandler* handler) {
  epoll_event event = {.events = events, .data = {.ptr = handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoStatus("watch descriptor ", fd);
  return absl::OkStatus();
}

absl::Status EventLoop::Modify(int fd, uint32_t events, FdHandler* handler) {
  epoll_event event = {.events = events, .data = {.ptr = handler}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return ErrnoStatus("watch descriptor ", fd);
  return absl::OkStatus();
}

void EventLoop::Remove(int fd, FdHandler* handler) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);  // fails only where it was not added
  for (int i = next_; i < pending_; ++i) {
    if (events_[i].data.ptr == handler) events_[i].data.ptr = nullptr;
  }
}

absl::Status EventLoop::Wait(int timeout_ms) {
  pending_ = next_ = 0;
  int count = ::epoll_wait(epoll_.get(), events_, kEventsPerTurn, timeout_ms);
  if (count < 0 && errno != EINTR) return ErrnoStatus("wait for events");
  pending_ = count < 0 ? 0 : count;
  return absl::OkStatus();
}

void EventLoop::Dispatch() {
  while (next_ < pending_) {
    epoll_event event = events_[next_++];
    if (event.data.ptr != nullptr) static_cast<FdHandler*>(event.data.ptr)->OnReady(event.events);
  }
  pending_ = next_ = 0;
}

absl::Status EventLoop::RunOnce(int timeout_ms) {
  RETURN_IF_ERROR(Wait(timeout_ms));
  Dispatch();
  return absl::OkStatus();
}

}  // namespace stele
