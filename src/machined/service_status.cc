#include "machined/service_status.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace stele::machined {

using init_protocol::RunState;
using resource::v1::ServiceState;

ServiceState StateOf(const ServiceFacts& facts) {
  switch (facts.run) {
    case RunState::kStopped:
      return facts.wanted_up ? resource::v1::SERVICE_STATE_WAITING : resource::v1::SERVICE_STATE_STOPPED;
    case RunState::kRunning:
      switch (facts.readiness) {
        case Readiness::kPending:
          return resource::v1::SERVICE_STATE_STARTING;
        case Readiness::kReady:
          return resource::v1::SERVICE_STATE_RUNNING;
        case Readiness::kFailing:
          return resource::v1::SERVICE_STATE_UNHEALTHY;
      }
      break;
    case RunState::kStopping:
      return resource::v1::SERVICE_STATE_STOPPING;
    case RunState::kBackoff:
      return resource::v1::SERVICE_STATE_BACKOFF;
    case RunState::kFinished:
      // A one-time task that failed is not finished: it stopped, and last_exit says why.
      return facts.exited_well ? resource::v1::SERVICE_STATE_FINISHED : resource::v1::SERVICE_STATE_STOPPED;
  }
  return resource::v1::SERVICE_STATE_UNSPECIFIED;
}

ServiceAction ActionFor(const ServiceFacts& facts) {
  if (!facts.wanted_up) {
    // init_up, and not the run state: one in back-off would come back.
    return facts.init_up ? ServiceAction::kStop : ServiceAction::kNone;
  }
  switch (facts.run) {
    case RunState::kStopped:
    case RunState::kStopping:  // init starts it again when it has ended
      return !facts.init_up && facts.dependencies_ready ? ServiceAction::kStart : ServiceAction::kNone;
    case RunState::kRunning:
    case RunState::kBackoff:
    case RunState::kFinished:
      return ServiceAction::kNone;
  }
  return ServiceAction::kNone;
}

bool IsReady(ServiceState state) {
  return state == resource::v1::SERVICE_STATE_RUNNING || state == resource::v1::SERVICE_STATE_FINISHED;
}

std::string LastExit(const init_protocol::ServiceState& state) {
  switch (state.exit_kind) {
    case init_protocol::ExitKind::kNone:
      return "";
    case init_protocol::ExitKind::kExited:
      return absl::StrCat("exit ", state.exit_value);
    case init_protocol::ExitKind::kSignaled: {
      const char* name = ::sigabbrev_np(state.exit_value);
      return absl::StrCat("signal ", state.exit_value, name == nullptr ? "" : absl::StrCat(" (", name, ")"));
    }
    case init_protocol::ExitKind::kSpawnFailed: {
      const char* text = ::strerrordesc_np(state.exit_value);
      return absl::StrCat("start failed: ", init_protocol::SpawnStepName(state.failed_step), ": ",
                          text == nullptr ? absl::StrCat("errno ", state.exit_value) : text);
    }
  }
  return "";
}

std::string StateName(ServiceState state) {
  return absl::AsciiStrToLower(absl::StripPrefix(resource::v1::ServiceState_Name(state), "SERVICE_STATE_"));
}

}  // namespace stele::machined
