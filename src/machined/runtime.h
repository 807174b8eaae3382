// Runs the controllers: wakes each when what it watches changes, once for many changes, and again
// with back-off after an error. Owner thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machined/controller.h"
#include "machined/event_log.h"

namespace stele::machined {

class Runtime : public Node {
 public:
  // Borrows all three, which outlive it.
  Runtime(OwnerLoop& loop, Store& store, EventLog& events) : loop_(loop), store_(store), events_(events) {}
  ~Runtime() override;

  // Starts the controllers in this order and reconciles each once. One whose Start fails is logged,
  // shown as an event, and left out: the others go on.
  void StartControllers(std::vector<std::unique_ptr<Controller>> controllers);

  OwnerLoop& loop() override { return loop_; }
  Store& store() override { return store_; }
  const config::v1::MachineConfig* config() const override { return config_.get(); }
  void SetConfig(std::shared_ptr<const config::v1::MachineConfig> config) override;
  void Emit(absl::string_view kind, absl::string_view subject, absl::string_view message,
            machine::v1::Severity severity) override;
  bool data_ready() const override { return data_ready_; }
  void SetDataReady(bool ready) override;

 private:
  struct Entry {
    std::unique_ptr<Controller> controller;
    bool queued = false;           // a Reconcile is posted
    OwnerLoop::TimerId retry = 0;  // 0: none
    absl::Duration backoff;
    std::string error;  // of the last Reconcile
  };
  void Wake(Entry& entry);
  void WakeAll();
  void Reconcile(Entry& entry);

  OwnerLoop& loop_;
  Store& store_;
  EventLog& events_;
  std::shared_ptr<const config::v1::MachineConfig> config_;
  // The one before: a Reconcile that is under way may still look at it.
  std::shared_ptr<const config::v1::MachineConfig> previous_config_;
  bool data_ready_ = false;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<Store::SubscriptionId> subscriptions_;
};

}  // namespace stele::machined
