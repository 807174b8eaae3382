// All services of the node: makes, finds and reaps them.
#pragma once

#include <memory>
#include <vector>

#include "init/service.h"

namespace stele::init {

inline constexpr char kMachined[] = "machined";

class Supervisor : private Service::Owner {
 public:
  // What the rest of init does for the supervisor.
  class Observer {
   public:
    virtual ~Observer() = default;
    // machined is being started: its end of a new control socket, owned by the caller, or -1.
    virtual int NewControlSocket() = 0;
    // machined's process has ended, after so long.
    virtual void MachinedGone(uint64_t up_ms) = 0;
    // A child that is no service ended: an orphan, or a task of init's own.
    virtual void OtherExited(pid_t pid, int code, int value) = 0;
  };

  Supervisor(const ServiceContext& context, Observer& observer);

  // Makes or changes a service. RESOURCE_EXHAUSTED when there are too many.
  absl::Status Define(ServiceSpec spec);
  // These answer 0 or an errno: ENOENT for an unknown name, EBUSY for removing one that is up,
  // ESHUTDOWN while the machine ends. Stopping or removing machined is refused: EPERM.
  int Start(const std::string& name);
  int Stop(const std::string& name);
  int Restart(const std::string& name);
  int Kill(const std::string& name);  // SIGKILL now; whether it comes back is as it was
  int Remove(const std::string& name);

  Service* Find(const std::string& name);
  // In the order they were defined; machined is the first.
  const std::vector<std::unique_ptr<Service>>& services() const { return services_; }

  // Until EndHold or `until` a start of this service waits as in back-off.
  void Hold(absl::string_view name, uint64_t until) { held_ = std::string(name), held_until_ = until; }
  void EndHold();

  // From now on nothing is started by request, and if `forced` nothing starts again: what kill-all ends
  // would come back in the middle of it.
  void BeginEnding(bool forced);

  // Reaps what has ended, at most a few thousand; true when there may be more. To be called first
  // in each turn.
  bool Reap();
  // Deadlines of services and of their logs; `log_reader`: machined is there and should be reading.
  void RunTimers(uint64_t now, bool log_reader);
  uint64_t next_deadline() const;

 private:
  int ControlDescriptor(Service& service) override;
  int FindProcess(const std::string& name) override;
  void Executed(Service& service) override;

  ServiceContext context_;
  Observer& observer_;
  std::vector<std::unique_ptr<Service>> services_;
  std::string held_;  // a service's name
  uint64_t held_until_ = 0;
  bool ending_ = false;
};

}  // namespace stele::init
