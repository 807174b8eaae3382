// The one thread that owns machined's state.
//
// Everything that reads or changes the resource store, the controllers or the services runs here.
// gRPC handlers and workers Post; nothing blocks here: what blocks (mkfs, mount, a call to
// containerd) goes to RunBlocking, whose result comes back as a posted function.
#pragma once

#include <functional>
#include <memory>

#include "absl/time/time.h"
#include "base/event_loop.h"

namespace stele::machined {

class OwnerLoop {
 public:
  static absl::StatusOr<std::unique_ptr<OwnerLoop>> Create();
  virtual ~OwnerLoop() = default;

  // From any thread: runs `work` on the owner thread, in the order posted. Dropped after Stop.
  virtual void Post(std::function<void()> work) = 0;

  // From any thread: runs `work` on one of a few worker threads, then `done` on the owner thread.
  virtual void RunBlocking(std::function<void()> work, std::function<void()> done) = 0;

  // Owner thread only, as all below. Runs `work` once, `delay` from now.
  using TimerId = uint64_t;
  virtual TimerId After(absl::Duration delay, std::function<void()> work) = 0;
  virtual void Cancel(TimerId timer) = 0;

  // Descriptors of the owner thread; see base/event_loop.h.
  virtual EventLoop& events() = 0;

  // True on the owner thread.
  virtual bool OnOwnerThread() const = 0;

  // Runs on the calling thread, which becomes the owner thread, until Stop (from any thread).
  virtual void Run() = 0;
  virtual void Stop() = 0;
};

}  // namespace stele::machined
