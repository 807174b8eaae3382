// Ctrl-C while something streams from nodes: the first one ends the streams, so that the command can sum up; a second
// one ends the program.
#pragma once

#include <signal.h>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "osctl/client/node.h"

namespace stele::osctl {

// In force until it is destroyed; one at a time. Also for SIGTERM: who stops a capture in a script wants its file
// whole.
class StopOnInterrupt {
 public:
  StopOnInterrupt();
  ~StopOnInterrupt();
  StopOnInterrupt(const StopOnInterrupt&) = delete;
  StopOnInterrupt& operator=(const StopOnInterrupt&) = delete;

  bool stopped() const { return stopped_; }

  // Calls `work`, whose stream from `node` ends when the user wants to. From any thread.
  template <typename Work>
  absl::Status During(Node& node, const Work& work) {
    Add(&node);
    absl::Status status = work();
    Remove(&node);
    // That is how it was asked to end.
    return absl::IsCancelled(status) && stopped() ? absl::OkStatus() : status;
  }

 private:
  void Add(Node* node);
  void Remove(Node* node);
  void Watch();

  std::atomic<bool> stopped_ = false;
  std::mutex mutex_;
  std::vector<Node*> nodes_;
  UniqueFd pipe_;  // read end of what the handler writes to
  struct sigaction before_interrupt_ = {}, before_terminate_ = {};
  std::thread watcher_;
};

}  // namespace stele::osctl
