#include "services/apid.h"

#include "absl/strings/str_cat.h"

namespace stele::services {

ServiceSpec Apid() {
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
      // The processor's share is ten times what others of /system have, as machined's is: who asks a node what keeps it
      // busy must get an answer, and at boot the API comes before what merely starts at the same moment.
      .cgroup_settings = {{"memory.max", "128M"}, {"memory.swap.max", "0"}, {"pids.max", "64"}, {"cpu.weight", "1000"}},
      .listen = {{.address = "tcp:[::]:50000", .backlog = 512}},
      // Back within two seconds however often it is killed.
      .longest_backoff_ms = 500,
      .stop_timeout_ms = 5'000,
      .readiness = {.kind = ServiceSpec::Readiness::Kind::kTls,
                    .target = "127.0.0.1:50000",
                    .file = "/run/stele/apid/tls.pem",
                    .timeout_ms = 10'000},
  };
}

// Not only_listed_files: a machined that was just started lists no keys yet, and must not take them away.
std::vector<ServiceDirectory> ApidDirectories() {
  return {{.path = "/run/stele/apid", .mode = 0500, .uid = kApidUser, .gid = kApidUser}};
}

std::vector<ServiceFile> ApidFiles(const config::v1::MachineConfig& config) {
  auto file = [](const char* name, const std::string& content) {
    return ServiceFile{std::string("/run/stele/apid/") + name, content, 0400, kApidUser, kApidUser};
  };
  return {
      file("client-ca.crt", config.api().client_ca()),
      file("tls.pem", absl::StrCat(config.api().certificate(), "\n", config.api().key())),
  };
}

}  // namespace stele::services
