#include "machined/service_manager.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "machined/log.h"
#include "machined/uptime.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

using init_protocol::RunState;
using resource::v1::ServiceState;

namespace {

constexpr absl::Duration kFirstProbe = absl::Milliseconds(20);
constexpr absl::Duration kReadyProbe = absl::Seconds(10);
constexpr absl::Duration kUnhealthyProbe = absl::Seconds(2);
constexpr absl::Duration kProbeTimeout = absl::Seconds(5);
// A busy machine misses one check; two are a sign.
constexpr int kFailuresToUnhealthy = 2;
// Answers to a restart of what carries the answer get this long to leave the node.
constexpr absl::Duration kAnswerFirst = absl::Milliseconds(250);

// How long after a start of machined what runs is left as it is: facts come within a second or two.
constexpr absl::Duration kSettledToRestart = absl::Seconds(5);
constexpr absl::Duration kSettledToRemove = absl::Seconds(15);

constexpr absl::string_view kMachined = "machined";
constexpr absl::string_view kApid = "apid";

// What a node cannot be managed without: it may be restarted, never stopped.
bool CarriesTheApi(absl::string_view service) { return service == kMachined || service == kApid; }

absl::Time FromBootTime(uint64_t boottime_ns) { return absl::Now() - (Uptime() - absl::Nanoseconds(boottime_ns)); }

std::string CgroupOf(const std::string& name, const ServiceSpec& spec) {
  return spec.cgroup.empty() ? absl::StrCat("system/", name) : spec.cgroup;
}

absl::Status NoSuchService(absl::string_view service) {
  return absl::NotFoundError(absl::StrCat("no service ", service, ": `osctl get services` lists them"));
}

}  // namespace

ServiceManager::ServiceManager(OwnerLoop& loop, InitClient& init, Source source, Check check, std::string stopped_file)
    : loop_(loop),
      init_(init),
      source_(std::move(source)),
      check_(std::move(check)),
      stopped_file_(std::move(stopped_file)) {
  absl::StatusOr<std::string> names = ReadFile(stopped_file_);
  if (!names.ok()) return;  // nobody stopped anything in this boot
  for (absl::string_view line : absl::StrSplit(*names, '\n', absl::SkipEmpty())) stopped_.insert(std::string(line));
}

ServiceManager::~ServiceManager() { *alive_ = false; }

absl::Status ServiceManager::Start(Node& node) {
  node_ = &node;
  Publish();  // what init told before
  return absl::OkStatus();
}

absl::Status ServiceManager::SetStopped(const std::string& service, bool stopped) {
  std::set<std::string> changed = stopped_;
  if (stopped) {
    changed.insert(service);
  } else {
    changed.erase(service);
  }
  if (changed == stopped_) return absl::OkStatus();
  RETURN_IF_ERROR(ReplaceFile(stopped_file_, absl::StrJoin(changed, "\n"), 0600));
  stopped_ = std::move(changed);
  return absl::OkStatus();
}

// ---- From what is wanted to requests to init

absl::Status ServiceManager::Reconcile() {
  if (!listed_) return absl::OkStatus();  // what runs already is not known yet
  // init stops the services now, in its own order: what is down is so on purpose.
  if (init_.ending()) return absl::OkStatus();
  RETURN_IF_ERROR(UpdateWanted());
  for (auto it = services_.begin(); it != services_.end();) {
    auto& [name, service] = *it++;  // an unwanted one may go
    if (service.asked || name == kMachined) continue;
    bool runs = service.known && service.init.desired_up;
    if (!service.wanted) {
      if (!runs || (complete_ && Settled(kSettledToRemove))) RemoveUnwanted(name, service);
    } else if (uint64_t hash = init_protocol::SpecHash(service.spec);
               !service.known || service.init.spec_hash != hash) {
      if (hash != service.refused_hash && (!runs || Settled(kSettledToRestart))) Define(service, hash);
    } else {
      Act(service);
    }
  }
  Publish();
  return Annotate(problem_, "write the files of services");
}

// When not, another turn comes at that time.
bool ServiceManager::Settled(absl::Duration time) {
  absl::Duration left = listed_at_ + time - absl::Now();
  if (left <= absl::ZeroDuration()) return true;
  loop_.After(left, [this, alive = alive_] {
    if (*alive) Wake();
  });
  return false;
}

absl::Status ServiceManager::UpdateWanted() {
  ASSIGN_OR_RETURN(Wanted wanted, source_(*node_));
  complete_ = wanted.complete;
  problem_ = wanted.problem;
  for (auto& [name, service] : services_) service.wanted = false;
  for (ServiceSpec& spec : wanted.services) {
    Service& service = services_[spec.name];
    service.wanted = true;
    service.spec = std::move(spec);
    if (service.waits_for_file && HasItsFile(service)) BeginProbing(service.spec.name, service);
  }
  return absl::OkStatus();
}

void ServiceManager::Define(Service& service, uint64_t hash) {
  const std::string name = service.spec.name;
  service.asked = true;
  InitClient::Done asked = Asked(name, "define");
  // What init refuses is a bug of ours; asking again would not help, and must not restart anything.
  bool restart = service.known && service.init.desired_up;
  init_.Define(service.spec, [this, name, hash, restart, asked](const absl::Status& status) {
    auto found = services_.find(name);
    if (found != services_.end()) {
      if (!status.ok()) found->second.refused_hash = hash;
      // Its State is on the way; a turn in between must not see the old spec and restart again.
      if (status.ok()) found->second.init.spec_hash = hash;
      if (status.ok()) found->second.known = true;
    }
    if (!restart || !status.ok()) asked(status);
  });
  if (!restart) return;
  // Right behind the Define and not after its answer, so that a kill of machined finds neither or
  // both done. Were the Define refused, this restarts the old spec, once.
  node_->Emit("service", name, "its settings changed: restarting", machine::v1::SEVERITY_INFO);
  init_.RestartService(name, [asked](const absl::Status& status) { asked(status); });
}

void ServiceManager::Act(Service& service) {
  const std::string name = service.spec.name;
  switch (ActionFor(FactsOf(name, service))) {
    case ServiceAction::kNone:
      return;
    case ServiceAction::kStart:
      service.asked = true;
      return init_.StartService(name, Asked(name, "start"));
    case ServiceAction::kStop:
      service.asked = true;
      return init_.StopService(name, Asked(name, "stop"));
  }
}

void ServiceManager::RemoveUnwanted(const std::string& name, Service& service) {
  if (!service.known) {
    node_->store().Remove(this->name(), "services", name);
    services_.erase(name);
    return;
  }
  service.asked = true;
  if (service.init.desired_up) return init_.StopService(name, Asked(name, "stop"));
  if (service.init.state == RunState::kStopped || service.init.state == RunState::kFinished) {
    return init_.Remove(name, [this, name, done = Asked(name, "remove")](const absl::Status& status) {
      auto found = services_.find(name);
      if (status.ok() && found != services_.end()) found->second.known = false;
      done(status);
    });
  }
  service.asked = false;  // it is stopping; its State brings the next turn
}

InitClient::Done ServiceManager::Asked(const std::string& name, absl::string_view doing) {
  return [this, name, doing = std::string(doing)](const absl::Status& status) {
    auto found = services_.find(name);
    if (found == services_.end()) return;
    found->second.asked = false;
    if (init_.ending()) return;  // a refusal that is no news
    std::string error = status.ok() ? "" : absl::StrCat(doing, " ", name, ": ", status.message());
    if (error != found->second.request_error && !error.empty()) {
      node_->Emit("service", name, error, machine::v1::SEVERITY_ERROR);
    }
    found->second.request_error = error;
    if (status.ok()) {
      Wake();
    } else {
      loop_.After(absl::Seconds(10), [this, alive = alive_] {
        if (*alive) Wake();
      });
      Publish();
    }
  };
}

ServiceFacts ServiceManager::FactsOf(const std::string& name, const Service& service) const {
  return {.wanted_up = !IsStoppedByOperator(name) || CarriesTheApi(name),
          .dependencies_ready = WaitsFor(service).empty(),
          .readiness = service.readiness,
          .run = service.known ? service.init.state : RunState::kStopped,
          .init_up = service.known && service.init.desired_up,
          .exited_well = service.init.exit_kind == init_protocol::ExitKind::kExited && service.init.exit_value == 0};
}

// The dependencies that are not ready, for people.
std::string ServiceManager::WaitsFor(const Service& service) const {
  std::vector<std::string> waits;
  for (const std::string& dependency : service.spec.after) {
    auto found = services_.find(dependency);
    if (found == services_.end() || !IsReady(StateOf(FactsOf(dependency, found->second)))) waits.push_back(dependency);
  }
  return absl::StrJoin(waits, ", ");
}

// ---- From what init tells

void ServiceManager::OnServiceState(const init_protocol::ServiceState& state) {
  Service& service = services_[state.name];
  bool new_process =
      state.state == RunState::kRunning && (!service.known || service.init.state != RunState::kRunning ||
                                            service.init.starts != state.starts || service.init.pid != state.pid);
  if (service.init.started_ns != state.started_ns) service.started = FromBootTime(state.started_ns);
  service.known = true;
  service.init = state;
  if (service.spec.name.empty()) service.spec.name = state.name;  // until the configuration tells
  if (new_process && listed_) BeginProbing(state.name, service);
  if (node_ == nullptr) return;
  PublishOne(state.name, service);
  CheckWaiters();
  Wake();
}

void ServiceManager::OnListed() {
  listed_ = true;
  listed_at_ = absl::Now();
  if (node_ == nullptr) return;
  // The specs first: what is checked is theirs.
  if (absl::Status status = UpdateWanted(); !status.ok()) Log("services: ", status.message());
  for (auto& [name, service] : services_) {
    if (service.known && service.init.state == RunState::kRunning) BeginProbing(name, service);
  }
  Wake();
}

// ---- Readiness

bool ServiceManager::HasItsFile(const Service& service) {
  const std::string& file = service.spec.readiness.file;
  return file.empty() || ::access(file.c_str(), F_OK) == 0;
}

void ServiceManager::BeginProbing(const std::string& name, Service& service) {
  ++service.probe_round;
  service.probe_failures = 0;
  service.probe_error.clear();
  service.probe_pause = kFirstProbe;
  service.readiness = Readiness::kPending;
  using Kind = ServiceSpec::Readiness::Kind;
  Kind kind = service.spec.readiness.kind;
  if (kind == Kind::kStarted) service.readiness = Readiness::kReady;
  if (kind == Kind::kStarted || kind == Kind::kExited) return;
  // Nobody needs to look for the file: machined itself writes it, in UpdateWanted.
  service.waits_for_file = !HasItsFile(service);
  if (service.waits_for_file) {
    service.probe_error = absl::StrCat("waits for ", service.spec.readiness.file);
    return;
  }
  ScheduleProbe(name, service, absl::ZeroDuration());
}

void ServiceManager::ScheduleProbe(const std::string& name, Service& service, absl::Duration delay) {
  if (service.probe_timer != 0) loop_.Cancel(service.probe_timer);
  service.probe_timer = loop_.After(delay, [this, name] {
    auto found = services_.find(name);
    if (found == services_.end()) return;
    found->second.probe_timer = 0;
    RunProbe(name);
  });
}

void ServiceManager::RunProbe(const std::string& name) {
  Service& service = services_[name];
  if (service.probing || service.init.state != RunState::kRunning) return;
  service.probing = true;
  auto result = std::make_shared<absl::Status>();
  loop_.RunBlocking(
      [check = check_, readiness = service.spec.readiness, result] { *result = check(readiness, kProbeTimeout); },
      [this, alive = alive_, name, round = service.probe_round, result] {
        if (*alive) OnProbed(name, round, *result);
      });
}

void ServiceManager::OnProbed(const std::string& name, uint64_t round, const absl::Status& result) {
  auto found = services_.find(name);
  if (found == services_.end()) return;
  Service& service = found->second;
  service.probing = false;
  if (service.init.state != RunState::kRunning) return;
  if (round != service.probe_round) return ScheduleProbe(name, service, absl::ZeroDuration());
  if (result.ok()) {
    service.readiness = Readiness::kReady;
    service.probe_failures = 0;
    service.probe_error.clear();
    ScheduleProbe(name, service, kReadyProbe);
  } else {
    service.probe_error = std::string(result.message());
    ++service.probe_failures;
    bool was_ready = service.readiness == Readiness::kReady;
    absl::Duration limit = absl::Milliseconds(service.spec.readiness.timeout_ms);
    if (service.probe_failures >= kFailuresToUnhealthy && (was_ready || absl::Now() - service.started > limit)) {
      service.readiness = Readiness::kFailing;
    }
    service.probe_pause = std::min(service.probe_pause * 3 / 2, absl::Milliseconds(service.spec.readiness.interval_ms));
    ScheduleProbe(name, service, service.readiness == Readiness::kPending ? service.probe_pause : kUnhealthyProbe);
  }
  PublishOne(name, service);
  CheckWaiters();
}

// ---- To the store

void ServiceManager::Publish() {
  for (auto& [name, service] : services_) PublishOne(name, service);
  CheckWaiters();
}

void ServiceManager::PublishOne(const std::string& name, Service& service) {
  ServiceFacts facts = FactsOf(name, service);
  ServiceState state = StateOf(facts);
  resource::v1::Service shown;
  shown.set_state(state);
  shown.set_ready(IsReady(state));
  shown.set_pid(service.init.pid);
  shown.set_restarts(service.init.starts > 0 ? service.init.starts - 1 : 0);
  shown.set_desired(facts.wanted_up ? resource::v1::DESIRED_STATE_UP : resource::v1::DESIRED_STATE_DOWN);
  if (service.init.started_ns != 0) {
    int64_t ms = absl::ToUnixMillis(service.started);
    shown.mutable_started()->set_seconds(ms / 1000);
    shown.mutable_started()->set_nanos(ms % 1000 * 1'000'000);
  }
  shown.set_last_exit(LastExit(service.init));
  shown.set_message(MessageOf(name, service));
  for (const std::string& dependency : service.spec.after) shown.add_after(dependency);
  for (const std::string& argument : service.spec.argv) shown.add_argv(argument);
  shown.set_cgroup(CgroupOf(name, service.spec));
  ServiceState before = std::exchange(service.state, state);
  if (absl::Status status = node_->store().Put(this->name(), name, shown); !status.ok()) Log(status.message());
  if (before == state) return;
  // What a new machined finds is no news.
  if (before != resource::v1::SERVICE_STATE_UNSPECIFIED) {
    bool bad = state == resource::v1::SERVICE_STATE_BACKOFF || state == resource::v1::SERVICE_STATE_UNHEALTHY;
    std::string why = bad ? shown.message() : "";
    if (state == resource::v1::SERVICE_STATE_BACKOFF) why = shown.last_exit();
    node_->Emit("service", name,
                absl::StrCat(StateName(before), " → ", StateName(state),
                             service.init.pid != 0 ? absl::StrCat(", pid ", service.init.pid) : "",
                             why.empty() ? "" : ": ", why),
                bad ? machine::v1::SEVERITY_WARNING : machine::v1::SEVERITY_INFO);
  }
  // Those that wait for it: readiness is seen here first.
  if (IsReady(before) != IsReady(state)) Wake();
}

std::string ServiceManager::MessageOf(const std::string& name, const Service& service) const {
  if (!service.request_error.empty()) return service.request_error;
  if (service.known && service.init.state == RunState::kRunning) return service.probe_error;
  if (IsStoppedByOperator(name)) return "stopped by an operator";
  if (service.known && service.init.state != RunState::kStopped) return "";
  std::string waits = WaitsFor(service);
  return waits.empty() ? "" : absl::StrCat("waits for ", waits);
}

// ---- Verbs

void ServiceManager::StartService(absl::string_view service, absl::Duration timeout, Done done) {
  std::string name(service);
  if (services_.count(name) == 0) return done(NoSuchService(service));
  if (absl::Status status = SetStopped(name, false); !status.ok()) return done(status);
  // One that finished or waits in back-off starts at once when it is asked for.
  Service& known = services_[name];
  if (known.known && !known.asked &&
      (known.init.state == RunState::kFinished || known.init.state == RunState::kBackoff)) {
    known.asked = true;
    init_.StartService(name, Asked(name, "start"));
  }
  Wake();
  Wait(
      name, timeout, [](const Service& it) { return IsReady(it.state); }, std::move(done));
}

void ServiceManager::AskInit(void (InitClient::*request)(absl::string_view, InitClient::Done), const std::string& name,
                             Service& service, How how) {
  service.asked = true;
  (init_.*request)(name, Asked(name, "stop"));
  // Behind it, when init knows that the end is wanted and counts no crash. By init, which must know of every killed
  // control group (docs/decisions/killed-cgroups.md).
  if (how == How::kForced) init_.KillService(name, Asked(name, "kill"));
}

void ServiceManager::StopService(absl::string_view service, How how, absl::Duration timeout, Done done) {
  std::string name(service);
  auto found = services_.find(name);
  if (found == services_.end()) return done(NoSuchService(service));
  if (CarriesTheApi(service)) {
    return done(absl::FailedPreconditionError(
        absl::StrCat("stop ", service, ": the node cannot be managed without it; restart it instead")));
  }
  if (absl::Status status = SetStopped(name, true); !status.ok()) return done(status);
  // Forced also while an orderly stop is under way.
  if (how == How::kForced && found->second.known) AskInit(&InitClient::StopService, name, found->second, how);
  Wake();
  Wait(
      name, timeout,
      [](const Service& it) {
        return !it.init.desired_up && (it.init.state == RunState::kStopped || it.init.state == RunState::kFinished);
      },
      std::move(done));
}

void ServiceManager::RestartService(absl::string_view service, How how, absl::Duration timeout, Done done) {
  std::string name(service);
  auto found = services_.find(name);
  if (found == services_.end()) return done(NoSuchService(service));
  if (CarriesTheApi(service)) {
    // The answer travels through what is being restarted, so it goes first. Both are wanted for ever: killed, they
    // are started again.
    loop_.After(kAnswerFirst, [this, name, how] {
      if (how == How::kForced) return init_.KillService(name, Asked(name, "kill"));
      init_.RestartService(name, Asked(name, "restart"));
    });
    return done(absl::OkStatus());
  }
  if (absl::Status status = SetStopped(name, false); !status.ok()) return done(status);
  uint32_t starts = found->second.init.starts;
  if (found->second.known && found->second.init.desired_up)
    AskInit(&InitClient::RestartService, name, found->second, how);
  Wake();
  Wait(
      name, timeout, [starts](const Service& it) { return it.init.starts > starts && IsReady(it.state); },
      std::move(done));
}

void ServiceManager::Wait(std::string service, absl::Duration timeout, std::function<bool(const Service&)> reached,
                          Done done) {
  waiters_.push_back({.service = std::move(service), .reached = std::move(reached), .done = std::move(done)});
  auto waiter = std::prev(waiters_.end());
  waiter->timer = loop_.After(timeout, [this, waiter] {
    Waiter late = std::move(*waiter);
    waiters_.erase(waiter);
    auto found = services_.find(late.service);
    std::string now = "gone";
    if (found != services_.end()) {
      std::string message = MessageOf(late.service, found->second);
      now = absl::StrCat(StateName(found->second.state), message.empty() ? "" : ": ", message);
    }
    late.done(absl::DeadlineExceededError(absl::StrCat(late.service, " is still ", now)));
  });
  CheckWaiters();
}

void ServiceManager::CheckWaiters() {
  for (auto it = waiters_.begin(); it != waiters_.end();) {
    auto waiter = it++;
    auto found = services_.find(waiter->service);
    bool gone = found == services_.end();
    if (!gone && !waiter->reached(found->second)) continue;
    loop_.Cancel(waiter->timer);
    Done done = std::move(waiter->done);
    waiters_.erase(waiter);
    done(gone ? absl::NotFoundError("the configuration no longer has the service") : absl::OkStatus());
  }
}

}  // namespace stele::machined
