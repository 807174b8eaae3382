// Making a service's process.
//
// Init forks with clone3, straight into the cgroup and the new namespaces; the child sets itself up
// with system calls alone and executes the program. What fails there comes back as (step, errno)
// on a pipe that closes by itself at exec, so init never waits for it.
#pragma once

#include <sys/types.h>

#include "absl/types/span.h"
#include "base/init_protocol.h"
#include "base/unique_fd.h"
#include "init/program.h"

namespace stele::init {

using init_protocol::SpawnStep;

struct SpawnError {
  SpawnStep step = SpawnStep::kNone;
  int error = 0;
};

// What every spawn needs and init opens once.
struct SpawnEnvironment {
  UniqueFd null;               // /dev/null
  UniqueFd own_pid_namespace;  // to come back after a join
  uint64_t capabilities = 0;   // those init has itself: what "all" means
  int last_capability = 40;    // the kernel's highest
  // Init may not lower oom_score_adj or raise limits here (no CAP_SYS_RESOURCE): do what is
  // allowed, go on without the rest.
  bool lenient_limits = false;

  static SpawnEnvironment Open();
};

struct SpawnRequest {
  Program& program;
  int log = -1;                      // write end
  absl::Span<const int> passed;      // become descriptors 3, 4, …
  int cgroup = -1;                   // -1: none
  bool enter_cgroup_itself = false;  // the child moves itself; see KillCgroup
  int join = -1;                     // pidfd of a process in the PID and mount namespace to enter; -1: none
};

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd status;  // readable at exec (end of file) or failure (a SpawnError); non-blocking
};

// Allocates nothing.
SpawnError Spawn(const SpawnEnvironment& environment, const SpawnRequest& request, Spawned& spawned);

}  // namespace stele::init
