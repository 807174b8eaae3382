#include "base/first_services.h"

namespace stele {
namespace {

constexpr char kPath[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";

// The processor's share of both is ten times what others of /system have: who asks a node what keeps it busy must get
// an answer, and at boot the API comes before what merely starts at the same moment.
constexpr std::pair<const char*, const char*> kShare = {"cpu.weight", "1000"};

// Back within two seconds however often they are killed.
constexpr uint32_t kLongestBackoffMs = 500;

}  // namespace

ServiceSpec MachinedSpec(bool real_boot) {
  return {
      .name = "machined",
      .argv = {"/usr/lib/stele/machined"},
      .env = {kPath, real_boot ? "STELE_BOOT=machine" : "STELE_BOOT=namespace"},
      .all_capabilities = true,
      .limits = {{RLIMIT_NOFILE, 65536, 65536}, {RLIMIT_CORE, 0, 0}},
      .oom_score_adj = -999,
      .cgroup_settings = {kShare},
      // apid is the only one who may connect.
      .listen = {{.address = "unix:/run/stele/machined.sock", .mode = 0600, .uid = kApidUser}},
      .longest_backoff_ms = kLongestBackoffMs,
      .stop_timeout_ms = 2'000,
  };
}

ServiceSpec ApidSpec() {
  return {
      .name = "apid",
      .argv = {"/usr/lib/stele/apid"},
      .env = {kPath},
      .uid = kApidUser,
      .gid = kApidUser,
      .limits = {{RLIMIT_NOFILE, 4096, 4096}, {RLIMIT_CORE, 0, 0}, {RLIMIT_NPROC, 64, 64}},
      // apid bounds what each connection may hold; should that fail, this bound protects the node. Killed
      // and back within 2 s.
      .oom_score_adj = 500,
      .cgroup_settings = {{"memory.max", "128M"}, {"memory.swap.max", "0"}, {"pids.max", "64"}, kShare},
      .listen = {{.address = "tcp:[::]:50000", .backlog = 512}},
      .longest_backoff_ms = kLongestBackoffMs,
      .stop_timeout_ms = 5'000,
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kTls,
                    .target = "127.0.0.1:50000",
                    .file = "/run/stele/apid/tls.pem",
                    .timeout_ms = 10'000},
  };
}

}  // namespace stele
