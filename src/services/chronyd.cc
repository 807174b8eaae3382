#include "services/chronyd.h"

#include <linux/capability.h>

#include "absl/strings/str_cat.h"

namespace stele::services {

std::vector<std::string> TimeServers(const config::v1::MachineConfig& config, const Facts& facts) {
  if (config.time().servers_size() > 0) return {config.time().servers().begin(), config.time().servers().end()};
  return facts.dhcp_time_servers;
}

ServiceSpec Chronyd(const std::vector<std::string>& servers) {
  ServiceSpec spec = {
      .name = "chronyd",
      // -d: in the foreground, log to standard error. -U: not root, and has all it needs.
      .argv = {"/usr/sbin/chronyd", "-d", "-U", "-u", "chrony", "-f", "/etc/chrony.conf"},
      .env = {kPath},
      .uid = kChronyUser,
      .gid = kChronyUser,
      .capabilities = 1ULL << CAP_SYS_TIME,
      .limits = {{RLIMIT_CORE, 0, 0}},
      .cgroup_settings = {{"memory.max", "32M"}, {"pids.max", "16"}},
      .stop_timeout_ms = 3'000,
  };
  DependOnFiles(ChronydFiles(servers), &spec);
  return spec;
}

std::vector<ServiceDirectory> ChronydDirectories() { return {{"/var/lib/chrony", 0750, kChronyUser, kChronyUser}}; }

std::vector<ServiceFile> ChronydFiles(const std::vector<std::string>& servers) {
  std::string config;
  for (const std::string& server : servers) absl::StrAppend(&config, "server ", server, " iburst\n");
  // A client and nothing else: no server port, no command port, no command socket, no pid file.
  // The first three corrections may step: a clock at 1970 makes every certificate invalid.
  absl::StrAppend(&config, R"(driftfile /var/lib/chrony/drift
makestep 1.0 3
rtcsync
port 0
cmdport 0
bindcmdaddress /
pidfile /
)");
  return {{"/etc/chrony.conf", config}};
}

}  // namespace stele::services
