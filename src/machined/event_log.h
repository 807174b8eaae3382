// The node's events: the last ones in memory for EventService, and in a file below /run so that
// ids and events go on when machined is killed.
//
// The file holds a boot's events as records: four bytes of length, then the Event. It is appended
// to, and written anew when it holds twice as many as are kept. A record cut off by a kill is dropped.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "stele/machine/v1/event_service.pb.h"

namespace stele::machined {

using EventPtr = std::shared_ptr<const machine::v1::Event>;

// Owner thread only.
class EventLog {
 public:
  static constexpr size_t kKept = 1024;

  // Continues the events in `path`, or begins. Without a usable file events live in memory only.
  explicit EventLog(std::string path);

  void Add(machine::v1::Event event);  // gives it its id
  // The kept events after `id`, oldest first.
  std::deque<EventPtr> After(uint64_t id) const;
  uint64_t last_id() const { return last_id_; }

  using SubscriptionId = uint64_t;
  SubscriptionId Subscribe(std::function<void(const EventPtr&)> on_event);
  void Unsubscribe(SubscriptionId id);

 private:
  void Load();
  absl::Status Append(const machine::v1::Event& event);
  absl::Status Rewrite();

  std::string path_;
  UniqueFd file_;
  size_t in_file_ = 0;
  std::deque<EventPtr> events_;
  uint64_t last_id_ = 0;
  std::map<SubscriptionId, std::function<void(const EventPtr&)>> subscriptions_;
  SubscriptionId next_subscription_ = 1;
};

}  // namespace stele::machined
