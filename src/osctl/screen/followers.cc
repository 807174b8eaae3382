#include "osctl/screen/followers.h"

#include <signal.h>

#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "osctl/failure.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

constexpr std::chrono::milliseconds kPause(500);     // between attempts
constexpr std::chrono::milliseconds kFarewell(500);  // for all streams together

// While it lives, threads that are made here begin with signals blocked, but those that their own faults raise.
class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~NoSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Node>> OneNode(Session& session, absl::string_view command) {
  ASSIGN_OR_RETURN(auto nodes, session.Nodes());
  if (nodes.size() > 1) {
    return UsageError(absl::StrCat(command, " shows one node at a time, not ", nodes.size()), "choose it with -n");
  }
  return std::move(nodes.front());
}

void Followers::Begin(const std::string& what, std::unique_ptr<Node> node, Attempt attempt) {
  auto state = std::make_shared<State>();
  state->node = std::move(node);
  if (auto old = std::exchange(running_[what], state); old != nullptr) Stop(*old);
  NoSignals quiet;
  // Detached, with all it needs: while it waits for a silent node the user can leave.
  std::thread([state, what, attempt = std::move(attempt), ended = ended_]() mutable {
    std::unique_lock<std::mutex> lock(state->mutex);
    while (!state->stop) {
      lock.unlock();
      absl::Status status = attempt(*state->node);
      lock.lock();
      if (state->stop) break;
      lock.unlock();
      ended(what, absl::IsNotFound(status) ? absl::OkStatus() : status);
      lock.lock();
      if (absl::IsNotFound(status) || IsRefusal(status)) break;
      state->changed.wait_for(lock, kPause, [&] { return state->stop; });
    }
    attempt = nullptr;  // and what it shares
    state->ended = true;
    state->changed.notify_all();
  }).detach();
}

void Followers::Stop(State& state) {
  std::lock_guard<std::mutex> lock(state.mutex);
  state.stop = true;
  state.node->CancelStream();
  state.changed.notify_all();
}

Followers::~Followers() {
  for (const auto& [what, state] : running_) Stop(*state);
  auto until = std::chrono::steady_clock::now() + kFarewell;
  for (const auto& [what, state] : running_) {
    std::unique_lock<std::mutex> lock(state->mutex);
    state->changed.wait_until(lock, until, [&one = *state] { return one.ended; });
  }
}

}  // namespace stele::osctl
