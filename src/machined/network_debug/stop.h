// What ends a call's work before its time: its client went away. Work on a thread of its own waits for
// descriptors only through this, so it ends at once and never waits past its deadline.
#pragma once

#include <memory>

#include "absl/time/time.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace stele::machined {

// Deadlines are moments of Uptime(): no step of the wall clock moves them.
class Stop {
 public:
  static absl::StatusOr<std::unique_ptr<Stop>> Create();

  // From any thread, any number of times.
  void Request();
  bool requested() const;

  // Until `fd` has one of `events` (poll(2)), or an error: OK. DEADLINE_EXCEEDED once it is past, whatever
  // is there; CANCELLED once requested.
  absl::Status Wait(int fd, short events, absl::Duration deadline) const;

 private:
  explicit Stop(UniqueFd event) : event_(std::move(event)) {}
  UniqueFd event_;  // readable for good once requested
};

}  // namespace stele::machined
