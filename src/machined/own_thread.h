// The thread of a call that has one of its own while it lasts: what waits for a disk or for the network stays one
// story, and nothing of it touches the owner thread.
#pragma once

#include <functional>
#include <future>
#include <thread>

#include "base/status.h"
#include "machined/owner_loop.h"

namespace stele::machined {

class OwnThread {
 public:
  // Runs `work`, which ends with the reactor's Finish, on a new thread named "call". Once at most. RESOURCE_EXHAUSTED,
  // fit for that Finish, where the node has no room for a thread: then `work` never runs.
  absl::Status Start(std::function<void()> work);
  // The last but one act of the reactor's OnDone, before it deletes itself. gRPC may call that from inside Finish on
  // this very thread, or from another, which then waits until `work` has returned.
  void End();

 private:
  std::thread thread_;
};

// What the owner thread answers, for a call's own thread, which waits for it.
template <typename Answer>
Answer OnOwner(OwnerLoop& loop, const std::function<Answer()>& ask) {
  std::promise<Answer> answer;
  loop.Post([&] { answer.set_value(ask()); });
  return answer.get_future().get();
}

}  // namespace stele::machined
