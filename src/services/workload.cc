#include "services/workload.h"

namespace stele::services {

ServiceSpec Workload() {
  return {
      .name = kWorkload,
      .argv = {"/usr/lib/stele/applets", "reaper"},
      .env = {kPath},
      // Its children gain what they are given by their own specs; a privileged pod must find all of it here.
      .all_capabilities = true,
      .no_new_privs = false,
      .oom_score_adj = -999,
      .namespaces = {.pid = true, .mount = true},
      // State, keys and sockets of the node: a pod with hostPath / and hostPID finds an empty directory.
      .hide = {"/run/stele"},
      .stop_timeout_ms = 5'000,
      .shared_mounts = true,
  };
}

}  // namespace stele::services
