#include "init/supervisor.h"

#include <sys/wait.h>

#include <algorithm>

namespace stele::init {
namespace {

// A fork bomb's orphans must not keep the loop from its other work.
constexpr int kReapsPerTurn = 4096;

}  // namespace

Supervisor::Supervisor(const ServiceContext& context, Observer& observer) : context_(context), observer_(observer) {
  services_.reserve(init_protocol::kMaxServices);
}

Service* Supervisor::Find(const std::string& name) {
  for (auto& service : services_) {
    if (service->spec().name == name) return service.get();
  }
  return nullptr;
}

absl::Status Supervisor::Define(ServiceSpec spec) {
  if (Service* service = Find(spec.name)) {
    service->Define(std::move(spec));
    return absl::OkStatus();
  }
  if (services_.size() >= init_protocol::kMaxServices) return absl::ResourceExhaustedError("too many services");
  Service::Owner& owner = *this;
  services_.push_back(std::make_unique<Service>(context_, owner, std::move(spec)));
  return absl::OkStatus();
}

int Supervisor::Start(const std::string& name) {
  Service* service = Find(name);
  if (service == nullptr) return ENOENT;
  if (ending_) return ESHUTDOWN;
  uint64_t now = Now();
  if (name == held_ && now < held_until_) {
    service->StartAt(held_until_);
  } else {
    service->Start(now);
  }
  return 0;
}

void Supervisor::EndHold() {
  Service* service = held_.empty() ? nullptr : Find(held_);
  held_.clear();
  // Waiting, and not stopped again meanwhile.
  if (service != nullptr && service->state().state == RunState::kBackoff) service->Start(Now());
}

int Supervisor::Stop(const std::string& name) {
  if (name == kMachined) return EPERM;
  Service* service = Find(name);
  if (service == nullptr) return ENOENT;
  service->Stop(Now());
  return 0;
}

int Supervisor::Restart(const std::string& name) {
  Service* service = Find(name);
  if (service == nullptr) return ENOENT;
  if (ending_) return ESHUTDOWN;
  service->Restart(Now());
  return 0;
}

int Supervisor::Kill(const std::string& name) {
  Service* service = Find(name);
  if (service == nullptr) return ENOENT;
  service->Kill();
  return 0;
}

int Supervisor::Remove(const std::string& name) {
  if (name == kMachined) return EPERM;
  auto found = std::find_if(services_.begin(), services_.end(), [&](auto& s) { return s->spec().name == name; });
  if (found == services_.end()) return ENOENT;
  RunState state = (*found)->state().state;
  if (state != RunState::kStopped && state != RunState::kFinished) return EBUSY;
  const std::string& group = (*found)->spec().cgroup;
  if (context_.cgroups->ok()) context_.cgroups->Remove(group.empty() ? ("system/" + name).c_str() : group.c_str());
  services_.erase(found);
  return 0;
}

void Supervisor::BeginEnding(bool forced) {
  ending_ = true;
  if (!forced) return;
  for (auto& service : services_) service->NeverAgain();
}

bool Supervisor::Reap() {
  for (int i = 0; i < kReapsPerTurn; ++i) {
    siginfo_t info;
    info.si_pid = 0;
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
    // Known while the pid is still taken: it cannot mean somebody else.
    bool machined = false;
    auto found = std::find_if(services_.begin(), services_.end(), [&](auto& s) { return s->pid() == info.si_pid; });
    if (found != services_.end()) {
      machined = (*found)->spec().name == kMachined;
      if (machined) observer_.MachinedGone((Now() - (*found)->state().started_ns) / kMillisecond);
      (*found)->OnExit(Now(), info.si_code, info.si_status);
    } else {
      observer_.OtherExited(info.si_pid, info.si_code, info.si_status);
    }
    siginfo_t reaped;
    ::waitid(P_PID, static_cast<id_t>(info.si_pid), &reaped, WEXITED | WNOHANG);
  }
  return true;
}

void Supervisor::RunTimers(uint64_t now, bool log_reader) {
  for (auto& service : services_) {
    service->OnDeadline(now);
    if (service->log().Check(now, log_reader)) service->MarkChanged();
  }
}

uint64_t Supervisor::next_deadline() const {
  uint64_t next = kNever;
  for (const auto& service : services_) {
    next = std::min({next, service->next_deadline(), service->log().next_check()});
  }
  return next;
}

int Supervisor::ControlDescriptor(Service& service) {
  return service.spec().name == kMachined ? observer_.NewControlSocket() : -1;
}

int Supervisor::FindProcess(const std::string& name) {
  Service* service = Find(name);
  // Not while it is being stopped: who joined then would keep it from ending.
  bool there = service != nullptr && service->executed() && service->state().state == RunState::kRunning;
  return there ? service->pidfd() : -1;
}

// Who waits in back-off for this one's namespaces need not wait any longer.
void Supervisor::Executed(Service& service) {
  for (auto& other : services_) {
    if (other->spec().name == held_) continue;
    if (other->spec().join == service.spec().name && other->state().state == RunState::kBackoff) other->Start(Now());
  }
}

}  // namespace stele::init
