#include "machined/log_store.h"

#include <fcntl.h>

#include "machined/log.h"

namespace stele::machined {
namespace {

// In one turn; then other descriptors get theirs.
constexpr size_t kMostPerTurn = 1 << 20;

bool IsServiceName(absl::string_view name) {
  return !name.empty() && name.size() <= 32 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == absl::string_view::npos;
}

}  // namespace

// One service's pipe.
class LogStore::Intake : public FdHandler {
 public:
  Intake(LogStore& store, std::string service) : store_(store), service_(std::move(service)) {}
  ~Intake() override { Detach(); }

  void Attach(UniqueFd pipe) {
    Detach();
    pipe_ = std::move(pipe);
    if (!writer_.ok()) writer_ = LogWriter::Open(store_.directory_ + "/" + service_);
    if (!writer_.ok()) return Pause(writer_.status());
    Resume();
  }

  void OnReady(uint32_t events) override {
    size_t moved = 0;
    while (moved < kMostPerTurn) {
      absl::StatusOr<size_t> once = writer_->MoveFrom(pipe_.get(), kMostPerTurn - moved);
      if (!once.ok()) {
        // The file system is full, say. init throws the oldest bytes away rather than let the service wait.
        writer_->DropOldest();
        Pause(once.status());
        break;
      }
      if (*once == 0) break;
      moved += *once;
    }
    if (moved > 0) {
      store_.Announce(service_);
    } else if ((events & EPOLLHUP) != 0 && (events & EPOLLIN) == 0) {
      Detach();  // init holds the writing end as long as the service is defined
    }
  }

 private:
  void Resume() {
    if (absl::Status status = store_.loop_.events().Add(pipe_.get(), EPOLLIN, this); !status.ok()) return Pause(status);
    watched_ = true;
  }

  void Pause(const absl::Status& why) {
    Log("warning: log of ", service_, ": ", why.message());
    if (std::exchange(watched_, false)) store_.loop_.events().Remove(pipe_.get(), this);
    timer_ = store_.loop_.After(absl::Seconds(1), [this] {
      timer_ = 0;
      Attach(std::move(pipe_));
    });
  }

  void Detach() {
    if (timer_ != 0) store_.loop_.Cancel(std::exchange(timer_, 0));
    if (std::exchange(watched_, false)) store_.loop_.events().Remove(pipe_.get(), this);
  }

  LogStore& store_;
  std::string service_;
  UniqueFd pipe_;
  absl::StatusOr<LogWriter> writer_ = absl::UnavailableError("not opened yet");
  bool watched_ = false;
  OwnerLoop::TimerId timer_ = 0;
};

LogStore::LogStore(OwnerLoop& loop, std::string directory, std::string boot)
    : loop_(loop), directory_(std::move(directory)), boot_(std::move(boot)) {}

LogStore::~LogStore() = default;

void LogStore::Attach(const std::string& service, UniqueFd pipe) {
  if (!pipe.ok() || !IsServiceName(service)) return;
  std::unique_ptr<Intake>& intake = intakes_[service];
  if (intake == nullptr) intake = std::make_unique<Intake>(*this, service);
  intake->Attach(std::move(pipe));
}

absl::StatusOr<std::unique_ptr<LogSource>> LogStore::Open(const std::string& service, const LogStart& from) const {
  std::string directory = directory_ + "/" + service;
  if (!IsServiceName(service) || ListSegments(directory).empty()) {
    return absl::NotFoundError(absl::StrCat("no log of a service ", service, ": `osctl get services` lists them"));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<SegmentReader> reader, SegmentReader::Open(directory, boot_, from));
  return absl::StatusOr<std::unique_ptr<LogSource>>(std::move(reader));
}

LogStore::SubscriptionId LogStore::Subscribe(const std::string& service, std::function<void()> on_growth) {
  subscriptions_[next_subscription_] = {service, std::move(on_growth)};
  return next_subscription_++;
}

void LogStore::Unsubscribe(SubscriptionId id) { subscriptions_.erase(id); }

void LogStore::Announce(const std::string& service) {
  for (auto it = subscriptions_.begin(); it != subscriptions_.end();) {
    SubscriptionId id = it->first;
    if (it->second.service == service) it->second.on_growth();
    it = subscriptions_.upper_bound(id);
  }
}

}  // namespace stele::machined
