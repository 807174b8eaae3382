#include "osctl/stop_on_interrupt.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace stele::osctl {
namespace {

constexpr char kSignal = 's', kEnd = 'e';

// What the handler may touch.
std::atomic<int> wake_fd = -1;

void Wake(int) {
  int error = errno;
  if (::write(wake_fd, &kSignal, 1) < 0) {
    // Nothing to be done in a handler.
  }
  errno = error;
}

}  // namespace

StopOnInterrupt::StopOnInterrupt() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;  // then Ctrl-C ends the program, as ever
  pipe_.reset(ends[0]);
  wake_fd = ends[1];
  watcher_ = std::thread([this] { Watch(); });
  struct sigaction action = {};
  action.sa_handler = Wake;
  // RESETHAND: the second one meets the default, which ends the program with the shell's code for it.
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, &before_interrupt_);
  ::sigaction(SIGTERM, &action, &before_terminate_);
}

StopOnInterrupt::~StopOnInterrupt() {
  if (!watcher_.joinable()) return;
  ::sigaction(SIGINT, &before_interrupt_, nullptr);
  ::sigaction(SIGTERM, &before_terminate_, nullptr);
  if (::write(wake_fd, &kEnd, 1) == 1) watcher_.join();
  ::close(wake_fd.exchange(-1));
}

void StopOnInterrupt::Watch() {
  char what = kEnd;
  while (true) {
    ssize_t got = ::read(pipe_.get(), &what, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got != 1 || what == kEnd) return;
    std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
    for (Node* node : nodes_) node->CancelStream();
  }
}

void StopOnInterrupt::Add(Node* node) {
  std::lock_guard<std::mutex> lock(mutex_);
  nodes_.push_back(node);
  if (stopped_) node->CancelStream();
}

void StopOnInterrupt::Remove(Node* node) {
  std::lock_guard<std::mutex> lock(mutex_);
  nodes_.erase(std::find(nodes_.begin(), nodes_.end(), node));
}

}  // namespace stele::osctl
