// A controller brings one part of the node from what is to what is wanted: it reads some resource
// types and the config, acts, and writes others. Reconcile is level-triggered: it looks at all of
// its input each time and may be called at any moment.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/status.h"
#include "machined/owner_loop.h"
#include "machined/store.h"
#include "stele/config/v1/machine_config.pb.h"
#include "stele/machine/v1/event_service.pb.h"

namespace stele::machined {

// What a controller may use. Owner thread only. Lives as long as machined.
class Node {
 public:
  virtual ~Node() = default;
  virtual OwnerLoop& loop() = 0;
  virtual Store& store() = 0;
  // The running configuration; null before one was loaded and in maintenance mode.
  virtual const config::v1::MachineConfig* config() const = 0;
  // Makes `config` the running one (null: none) and wakes every controller.
  virtual void SetConfig(std::shared_ptr<const config::v1::MachineConfig> config) = 0;
  // Records an event for EventService and the log.
  virtual void Emit(absl::string_view kind, absl::string_view subject, absl::string_view message,
                    machine::v1::Severity severity = machine::v1::SEVERITY_INFO) = 0;
  // The node's data is mounted on /var, and the workload side may start.
  virtual bool data_ready() const = 0;
  // Says so, and wakes every controller when it changed anything.
  virtual void SetDataReady(bool ready) = 0;
};

class Controller {
 public:
  virtual ~Controller() = default;
  // Names it in resources' owner, phases and logs.
  virtual absl::string_view name() const = 0;
  // Resource types whose changes call Reconcile, besides every change of the configuration.
  virtual std::vector<std::string> watches() const = 0;
  // Opens sockets, subscribes to the kernel. Once, before the first Reconcile.
  virtual absl::Status Start(Node& node) {
    node_ = &node;
    return absl::OkStatus();
  }
  // Acts. An error is logged, shown as an event, and tried again with back-off (1 s … 60 s).
  virtual absl::Status Reconcile() = 0;
  // Asks for a Reconcile soon (coalesced). Owner thread only. Set by the runtime.
  void Wake() {
    if (wake_) wake_();
  }
  void SetWake(std::function<void()> wake) { wake_ = std::move(wake); }

 protected:
  Node* node_ = nullptr;

 private:
  std::function<void()> wake_;
};

// The explicit list of controllers, in start order (controller_list.cc).
std::vector<std::unique_ptr<Controller>> AllControllers();

}  // namespace stele::machined
