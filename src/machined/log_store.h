// The logs of the services: takes them off init's pipes and tells readers that there is more.
// Owner thread only; readers read the files themselves (log_segments.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"
#include "machined/log_segments.h"
#include "machined/owner_loop.h"

namespace stele::machined {

class LogStore {
 public:
  // `directory` on tmpfs, such as /run/stele/log.
  LogStore(OwnerLoop& loop, std::string directory, std::string boot);
  ~LogStore();

  // From here on what arrives in `pipe` is appended to the service's log. A pipe given before is
  // drained first.
  void Attach(const std::string& service, UniqueFd pipe);

  // NOT_FOUND when the service has never had a log. Any thread may use what is returned.
  absl::StatusOr<std::unique_ptr<LogSource>> Open(const std::string& service, const LogStart& from) const;

  // Calls `on_growth` after each append to the service's log.
  using SubscriptionId = uint64_t;
  SubscriptionId Subscribe(const std::string& service, std::function<void()> on_growth);
  void Unsubscribe(SubscriptionId id);

 private:
  class Intake;

  void Announce(const std::string& service);

  OwnerLoop& loop_;
  std::string directory_;
  std::string boot_;
  std::map<std::string, std::unique_ptr<Intake>> intakes_;
  struct Subscription {
    std::string service;
    std::function<void()> on_growth;
  };
  std::map<SubscriptionId, Subscription> subscriptions_;
  SubscriptionId next_subscription_ = 1;
};

}  // namespace stele::machined
