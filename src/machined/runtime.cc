#include "machined/runtime.h"

#include <algorithm>

#include "machined/console.h"
#include "machined/log.h"

namespace stele::machined {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Seconds(1);
constexpr absl::Duration kLongestBackoff = absl::Seconds(60);

}  // namespace

Runtime::~Runtime() {
  for (Store::SubscriptionId id : subscriptions_) store_.Unsubscribe(id);
}

void Runtime::StartControllers(std::vector<std::unique_ptr<Controller>> controllers) {
  for (std::unique_ptr<Controller>& controller : controllers) {
    auto entry = std::make_unique<Entry>();
    entry->controller = std::move(controller);
    Entry* borrowed = entry.get();
    borrowed->controller->SetWake([this, borrowed] { Wake(*borrowed); });
    if (absl::Status status = borrowed->controller->Start(*this); !status.ok()) {
      Emit("system", borrowed->controller->name(),
           absl::StrCat("start controller ", borrowed->controller->name(), ": ", status.message()),
           machine::v1::SEVERITY_ERROR);
      continue;
    }
    for (const std::string& type : borrowed->controller->watches()) {
      subscriptions_.push_back(store_.Subscribe(type, [this, borrowed](const Change& change) {
        // Its own writes tell a controller nothing new.
        if (change.resource->owner != borrowed->controller->name()) Wake(*borrowed);
      }));
    }
    entries_.push_back(std::move(entry));
    Wake(*borrowed);
  }
}

void Runtime::Wake(Entry& entry) {
  if (entry.queued) return;
  entry.queued = true;
  loop_.Post([this, &entry] {
    entry.queued = false;
    Reconcile(entry);
  });
}

void Runtime::WakeAll() {
  for (std::unique_ptr<Entry>& entry : entries_) Wake(*entry);
}

void Runtime::Reconcile(Entry& entry) {
  if (entry.retry != 0) loop_.Cancel(std::exchange(entry.retry, 0));
  absl::Status status = entry.controller->Reconcile();
  if (status.ok()) {
    if (!entry.error.empty()) Emit("system", entry.controller->name(), "works again", machine::v1::SEVERITY_INFO);
    entry.error.clear();
    entry.backoff = absl::ZeroDuration();
    return;
  }
  entry.backoff = std::clamp(2 * entry.backoff, kFirstBackoff, kLongestBackoff);
  // The same failure again is one event, not one a second.
  if (entry.error != status.message()) {
    entry.error = std::string(status.message());
    Emit("system", entry.controller->name(), entry.error, machine::v1::SEVERITY_ERROR);
  }
  entry.retry = loop_.After(entry.backoff, [this, &entry] {
    entry.retry = 0;
    Wake(entry);
  });
}

void Runtime::SetConfig(std::shared_ptr<const config::v1::MachineConfig> config) {
  previous_config_ = std::move(config_);
  config_ = std::move(config);
  WakeAll();
}

void Runtime::SetDataReady(bool ready) {
  if (std::exchange(data_ready_, ready) != ready) WakeAll();
}

void Runtime::Emit(absl::string_view kind, absl::string_view subject, absl::string_view message,
                   machine::v1::Severity severity) {
  machine::v1::Event event;
  absl::Time now = absl::Now();
  event.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  event.mutable_time()->set_nanos((absl::ToUnixNanos(now) % 1'000'000'000));
  event.set_kind(std::string(kind));
  event.set_subject(std::string(subject));
  event.set_message(std::string(message));
  event.set_severity(severity);
  std::string line = absl::StrCat(kind, " ", subject, ": ", message);
  TellConsole(severity, line);
  Log(severity == machine::v1::SEVERITY_ERROR     ? "error: "
      : severity == machine::v1::SEVERITY_WARNING ? "warning: "
                                                  : "",
      line);
  events_.Add(std::move(event));
}

}  // namespace stele::machined
