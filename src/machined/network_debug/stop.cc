#include "machined/network_debug/stop.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "machined/uptime.h"

namespace stele::machined {

absl::StatusOr<std::unique_ptr<Stop>> Stop::Create() {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.ok()) return ErrnoStatus("create an eventfd");
  return std::unique_ptr<Stop>(new Stop(std::move(event)));
}

void Stop::Request() {
  uint64_t one = 1;
  if (::write(event_.get(), &one, sizeof one) < 0) return;  // full counter: it is readable already
}

bool Stop::requested() const {
  pollfd event = {.fd = event_.get(), .events = POLLIN};
  return ::poll(&event, 1, 0) == 1;
}

absl::Status Stop::Wait(int fd, short events, absl::Duration deadline) const {
  while (true) {
    pollfd fds[] = {{.fd = event_.get(), .events = POLLIN}, {.fd = fd, .events = events}};
    absl::Duration time = std::max(deadline - Uptime(), absl::ZeroDuration());
    timespec left = absl::ToTimespec(time);
    int ready = ::ppoll(fds, fd < 0 ? 1 : 2, &left, nullptr);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return ErrnoStatus("wait for a socket");
    if (fds[0].revents != 0) return absl::CancelledError("the client went away");
    // Also where something is there: who sends without end gets no more time than who sends nothing.
    if (ready == 0 || time == absl::ZeroDuration()) return absl::DeadlineExceededError("no answer in time");
    return absl::OkStatus();
  }
}

}  // namespace stele::machined
