#include "machined/event_log.h"

#include <fcntl.h>

#include <cstring>

#include "base/file.h"
#include "machined/log.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxFile = 4 << 20;
constexpr size_t kMaxText = 1024;  // of an event's message: events are lines for people

std::string Record(const machine::v1::Event& event) {
  std::string bytes = event.SerializeAsString();
  uint32_t size = bytes.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + bytes;
}

}  // namespace

EventLog::EventLog(std::string path) : path_(std::move(path)) {
  Load();
  // Written anew once, which also drops a record that a kill has cut off.
  if (absl::Status status = Rewrite(); !status.ok()) Log("events are kept in memory only: ", status.message());
}

void EventLog::Load() {
  absl::StatusOr<std::string> bytes = ReadFile(path_, kMaxFile);
  if (!bytes.ok()) return;  // the first start of this boot
  absl::string_view rest = *bytes;
  uint32_t size;
  while (rest.size() >= sizeof size) {
    std::memcpy(&size, rest.data(), sizeof size);
    rest.remove_prefix(sizeof size);
    auto event = std::make_shared<machine::v1::Event>();
    if (size > rest.size() || !event->ParseFromArray(rest.data(), size)) break;
    rest.remove_prefix(size);
    last_id_ = event->id();
    events_.push_back(std::move(event));
    if (events_.size() > kKept) events_.pop_front();
  }
}

absl::Status EventLog::Rewrite() {
  std::string bytes;
  for (const EventPtr& event : events_) bytes += Record(*event);
  file_.reset();
  std::string temporary = path_ + ".new";
  UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file.ok()) return ErrnoStatus("open ", temporary);
  RETURN_IF_ERROR(WriteAll(file.get(), bytes));
  if (::rename(temporary.c_str(), path_.c_str()) != 0) return ErrnoStatus("rename ", temporary);
  file_ = std::move(file);
  in_file_ = events_.size();
  return absl::OkStatus();
}

absl::Status EventLog::Append(const machine::v1::Event& event) {
  if (!file_.ok()) return absl::OkStatus();
  if (in_file_ >= 2 * kKept) return Rewrite();
  RETURN_IF_ERROR(WriteAll(file_.get(), Record(event)));
  ++in_file_;
  return absl::OkStatus();
}

void EventLog::Add(machine::v1::Event event) {
  event.set_id(++last_id_);
  if (event.message().size() > kMaxText) event.mutable_message()->resize(kMaxText);
  auto kept = std::make_shared<machine::v1::Event>(std::move(event));
  events_.push_back(kept);
  if (events_.size() > kKept) events_.pop_front();
  if (absl::Status status = Append(*kept); !status.ok()) {
    Log("events are kept in memory only: ", status.message());
    file_.reset();
  }
  for (auto it = subscriptions_.begin(); it != subscriptions_.end();) {
    SubscriptionId id = it->first;
    auto on_event = it->second;
    on_event(kept);
    it = subscriptions_.upper_bound(id);  // it may have unsubscribed itself
  }
}

std::deque<EventPtr> EventLog::After(uint64_t id) const {
  std::deque<EventPtr> after;
  for (const EventPtr& event : events_) {
    if (event->id() > id) after.push_back(event);
  }
  return after;
}

EventLog::SubscriptionId EventLog::Subscribe(std::function<void(const EventPtr&)> on_event) {
  subscriptions_[next_subscription_] = std::move(on_event);
  return next_subscription_++;
}

void EventLog::Unsubscribe(SubscriptionId id) { subscriptions_.erase(id); }

}  // namespace stele::machined
