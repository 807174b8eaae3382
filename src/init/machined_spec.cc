#include "init/machined_spec.h"

namespace stele::init {

ServiceSpec MachinedSpec(bool real_boot) {
  constexpr uint32_t kApidUser = 900;
  return {
      .name = "machined",
      .argv = {"/usr/lib/stele/machined"},
      .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", real_boot ? "STELE_BOOT=machine" : "STELE_BOOT=namespace"},
      .all_capabilities = true,
      .limits = {{RLIMIT_NOFILE, 65536, 65536}, {RLIMIT_CORE, 0, 0}},
      .oom_score_adj = -999,
      .cgroup_settings = {{"cpu.weight", "1000"}},  // ten times what others of /system have: see services/apid.cc
      // apid is the only one who may connect.
      .listen = {{.address = "unix:/run/stele/machined.sock", .mode = 0600, .uid = kApidUser}},
      .longest_backoff_ms = 500,
      .stop_timeout_ms = 2'000,
  };
}

}  // namespace stele::init
