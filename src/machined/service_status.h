// What a service's state is and what is to be done about it: pure functions of what is wanted,
// what init says and what the readiness check found. Nothing else decides either.
//
// Desired is up unless an operator stopped the service; a dependency only delays the first start.
#pragma once

#include <string>

#include "base/init_protocol.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

enum class Readiness { kPending, kReady, kFailing };

struct ServiceFacts {
  bool wanted_up = true;
  bool dependencies_ready = true;
  Readiness readiness = Readiness::kPending;
  init_protocol::RunState run = init_protocol::RunState::kStopped;
  bool init_up = false;      // init's own desired state
  bool exited_well = false;  // the last process ended with exit code 0
};

resource::v1::ServiceState StateOf(const ServiceFacts& facts);

enum class ServiceAction { kNone, kStart, kStop };
ServiceAction ActionFor(const ServiceFacts& facts);

// Whether what depends on the service may start.
bool IsReady(resource::v1::ServiceState state);

// "exit 1", "signal 9 (KILL)", "start failed: execute: No such file or directory"; empty: never ended.
std::string LastExit(const init_protocol::ServiceState& state);

// "starting", as people read it.
std::string StateName(resource::v1::ServiceState state);

}  // namespace stele::machined
