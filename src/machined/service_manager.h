// Runs the node's services: decides which should run, has init run them, checks that they are
// ready, and publishes them as `services` resources.
//
// The list of services is a pure function of the configuration. Each turn (Reconcile) defines what
// init does not know or knows otherwise, starts what may start, stops what an operator stopped, and
// removes what the configuration no longer has. All of it is derived anew from init's own List, so
// after a kill -9 of machined the next one goes on and nothing is started again.
// A new machined learns the node's facts (host name, links, versions) one by one. Until they have
// settled, a service that runs is neither removed nor restarted for what is not known yet.
// What an operator stopped is in a file below /run: it holds until it is started or the node reboots.
// Owner thread only.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "machined/controller.h"
#include "machined/init_client.h"
#include "machined/service_status.h"

namespace stele::machined {

class ServiceManager : public Controller {
 public:
  // The services wanted now; whatever files they need are written.
  struct Wanted {
    std::vector<ServiceSpec> services;
    bool complete = false;                    // nothing is missing only because it is not known yet
    absl::Status problem = absl::OkStatus();  // with their files: told, and tried again
  };
  using Source = std::function<absl::StatusOr<Wanted>(Node&)>;
  using Check = std::function<absl::Status(const ServiceSpec::Readiness&, absl::Duration timeout)>;

  // `stopped_file` holds what operators stopped. Borrows `init` and `loop`.
  ServiceManager(OwnerLoop& loop, InitClient& init, Source source, Check check, std::string stopped_file);
  ~ServiceManager() override;

  absl::string_view name() const override { return "services"; }
  std::vector<std::string> watches() const override { return {"hostnames", "linkspecs", "leases"}; }
  absl::Status Start(Node& node) override;
  absl::Status Reconcile() override;

  // What init told; see InitListener.
  void OnServiceState(const init_protocol::ServiceState& state);
  void OnListed();

  // The verbs of ServiceService. `done` is called once: OK when it is so, DEADLINE_EXCEEDED after
  // `timeout`, NOT_FOUND, FAILED_PRECONDITION for what a node cannot be managed without.
  using Done = std::function<void(const absl::Status&)>;
  void StartService(absl::string_view service, absl::Duration timeout, Done done);
  // What hangs is stopped by a kill: it is sent right behind the orderly request.
  enum class How { kOrderly, kForced };
  void StopService(absl::string_view service, How how, absl::Duration timeout, Done done);
  void RestartService(absl::string_view service, How how, absl::Duration timeout, Done done);

 private:
  struct Service {
    ServiceSpec spec;
    bool wanted = false;        // in the present list
    bool known = false;         // init has told of it
    bool asked = false;         // a request about it is under way
    std::string request_error;  // of the last request to init
    uint64_t refused_hash = 0;  // the spec that init would not define
    init_protocol::ServiceState init;
    resource::v1::ServiceState state = resource::v1::SERVICE_STATE_UNSPECIFIED;
    Readiness readiness = Readiness::kPending;
    uint64_t probe_round = 0;  // counts processes: a check of an earlier one is not believed
    bool probing = false;
    OwnerLoop::TimerId probe_timer = 0;
    absl::Duration probe_pause;
    absl::Time started;
    int probe_failures = 0;  // in a row
    std::string probe_error;
    bool waits_for_file = false;  // runs, and is not asked before its file is there
  };
  // A verb that waits for its end.
  struct Waiter {
    std::string service;
    std::function<bool(const Service&)> reached;
    Done done;
    OwnerLoop::TimerId timer = 0;
  };

  bool Settled(absl::Duration time);
  bool IsStoppedByOperator(const std::string& service) const { return stopped_.count(service) > 0; }
  absl::Status SetStopped(const std::string& service, bool stopped);
  absl::Status UpdateWanted();
  void Define(Service& service, uint64_t hash);
  void Act(Service& service);
  // Stops or restarts, and kills what ran then.
  void AskInit(void (InitClient::*request)(absl::string_view, InitClient::Done), const std::string& name,
               Service& service, How how);
  void RemoveUnwanted(const std::string& name, Service& service);
  // A request to init about a service; another turn follows its answer.
  InitClient::Done Asked(const std::string& name, absl::string_view doing);
  ServiceFacts FactsOf(const std::string& name, const Service& service) const;
  std::string WaitsFor(const Service& service) const;
  static bool HasItsFile(const Service& service);
  void BeginProbing(const std::string& name, Service& service);
  void ScheduleProbe(const std::string& name, Service& service, absl::Duration delay);
  void RunProbe(const std::string& name);
  void OnProbed(const std::string& name, uint64_t round, const absl::Status& result);
  void Publish();
  void PublishOne(const std::string& name, Service& service);
  std::string MessageOf(const std::string& name, const Service& service) const;
  void Wait(std::string service, absl::Duration timeout, std::function<bool(const Service&)> reached, Done done);
  void CheckWaiters();

  OwnerLoop& loop_;
  InitClient& init_;
  Source source_;
  Check check_;
  std::string stopped_file_;
  bool listed_ = false;
  absl::Time listed_at_;
  bool complete_ = false;  // the list of wanted services is
  absl::Status problem_;   // with their files
  std::map<std::string, Service> services_;
  std::set<std::string> stopped_;
  std::list<Waiter> waiters_;
  // Guards what workers post back after this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace stele::machined
