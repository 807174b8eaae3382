// Streams from a node that are held while a screen is there. A screen is a few calls then, and not one for each look:
// each call is a line in the node's audit.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "osctl/client/node.h"
#include "osctl/screen/watched.h"

namespace stele::osctl {

class Session;

// A person looks on: a connection that is not there after so long is tried anew.
inline constexpr absl::Duration kScreenTimeout = absl::Seconds(5);
// How often a screen looks whether there is something new to show.
inline constexpr absl::Duration kRedraw = absl::Milliseconds(250);

// The node that a screen is of; a usage error when `command` was given several.
absl::StatusOr<std::unique_ptr<Node>> OneNode(Session& session, absl::string_view command);

// Each stream has a thread and a connection of its own. Destroyed, it ends the streams and waits a moment for them, not
// for a silent node: what attempts hold must be shared with them. No signal reaches these threads, nor those that gRPC
// makes for them, but their own faults: signals are the screen's.
class Followers {
 public:
  // Opens a stream and reads it to its end.
  using Attempt = std::function<absl::Status(Node& node)>;
  // What one ended with; from the stream's thread.
  using Ended = std::function<void(const std::string& what, const absl::Status& status)>;

  explicit Followers(Ended ended) : ended_(std::move(ended)) {}
  ~Followers();
  Followers(const Followers&) = delete;
  Followers& operator=(const Followers&) = delete;

  // Makes attempts, with a pause between, until it is destroyed or there is another one of the name `what`. One that
  // ends with NOT_FOUND is the last: the node does not know such a thing, which is no trouble. So is a refusal: each
  // attempt would be another line in the audit.
  void Begin(const std::string& what, std::unique_ptr<Node> node, Attempt attempt);

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool stop = false, ended = false;
    std::unique_ptr<Node> node;
  };
  static void Stop(State& state);

  Ended ended_;
  std::map<std::string, std::shared_ptr<State>> running_;
};

// Watches `type`. `into` lies in `shared`, as do a mutex that guards it and, in `shared->node`, the node's health.
template <typename Shared, typename T>
Followers::Attempt WatchInto(std::shared_ptr<Shared> shared, const std::string& type, Watched<T>* into) {
  using stele::machine::v1::WatchRequest;
  using stele::machine::v1::WatchResponse;
  return [shared, type, into](Node& node) {
    {
      std::lock_guard<std::mutex> lock(shared->mutex);
      into->Begin();
    }
    WatchRequest request;
    request.set_type(type);
    return node.Stream<WatchRequest, WatchResponse>(method::kWatch, request, [&](const WatchResponse& response) {
      std::lock_guard<std::mutex> lock(shared->mutex);
      into->Apply(response, absl::Now());
      shared->node.health.Tell(type, absl::OkStatus(), absl::Now());
      return absl::OkStatus();
    });
  };
}

}  // namespace stele::osctl
