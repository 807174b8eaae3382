#include "services/udevd.h"

namespace stele::services {

ServiceSpec Udevd() {
  return {
      .name = "udevd",
      .argv = {"/usr/lib/systemd/systemd-udevd"},
      .env = {kPath},
      // Makes nodes, sets owners, loads modules.
      .all_capabilities = true,
      .oom_score_adj = -900,
      .stop_timeout_ms = 5'000,
      // Looked at and not connected to: it takes one connection at a time, and udev-trigger's would be refused.
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kPath, .target = "/run/udev/control", .timeout_ms = 30'000},
  };
}

ServiceSpec UdevTrigger() {
  return {
      .name = "udev-trigger",
      // udevadm waits until udevd has begun its work, but not until its socket is there: that is udevd's readiness.
      .argv = {"/usr/bin/udevadm", "trigger", "--action=add", "--wait-daemon=30"},
      .env = {kPath},
      .all_capabilities = true,
      .restart = RestartPolicy::kNever,
      .after = {"udevd"},
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kExited, .timeout_ms = 60'000},
  };
}

}  // namespace stele::services
