// How a service is to be run: what machined decides and init carries out. Pure data; the wire form
// is in base/init_protocol.h.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace stele {

enum class RestartPolicy : uint8_t {
  kAlways = 0,  // whenever it ends, with back-off
  kOnFailure,   // when it ends otherwise than exit 0
  kNever,       // a one-time task
};

// What gets the SIGKILL when the stop deadline has passed.
enum class KillMode : uint8_t {
  kControlGroup = 0,  // everything in the service's cgroup
  kProcess,           // the main process only: containerd's shims outlive it
};

// Namespaces made new for the service's process.
struct NewNamespaces {
  bool pid = false;
  bool mount = false;
  bool ipc = false;
  bool uts = false;
  bool network = false;
};

// A socket that init opens before the first start and keeps for ever: connections wait in its
// backlog while the service restarts. Passed as descriptors 3, 4, … with LISTEN_FDS and LISTEN_PID
// as sd_listen_fds(3) has them.
struct ListenSocket {
  std::string address;  // "tcp:[::]:50000", "tcp:127.0.0.1:50000" or "unix:/run/stele/machined.sock"
  uint32_t backlog = 128;
  uint32_t mode = 0600;  // of a unix socket's file
  uint32_t uid = 0;      // owner of a unix socket's file
};

struct ResourceLimit {
  int resource = RLIMIT_NOFILE;
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct ServiceSpec {
  std::string name;  // [a-z0-9-]{1,32}
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=value; nothing is inherited
  std::string directory = "/";
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;
  uint64_t capabilities = 0;  // permitted, effective, inheritable, ambient and bounding: bit n is capability n
  bool all_capabilities = false;
  bool no_new_privs = true;
  std::vector<ResourceLimit> limits;
  int oom_score_adj = 0;
  NewNamespaces namespaces;
  std::string join;               // the service whose PID and mount namespace it enters, such as "workload"
  std::vector<std::string> hide;  // paths covered by an empty read-only tmpfs (needs a new mount namespace)
  std::string cgroup;             // below /sys/fs/cgroup; empty: system/<name>
  std::vector<std::pair<std::string, std::string>> cgroup_settings;  // {"memory.max", "128M"}
  std::vector<ListenSocket> listen;
  RestartPolicy restart = RestartPolicy::kAlways;
  // Back-off goes from 0.1 s up to this. The node's own daemons have 500: they must be back within
  // two seconds however often they are killed.
  uint32_t longest_backoff_ms = 30'000;
  KillMode kill_mode = KillMode::kControlGroup;
  int stop_signal = 15;
  uint32_t stop_timeout_ms = 10'000;
  bool shared_mounts = false;  // new mount namespace: mounts made inside are shared among those who join

  // What machined alone looks at: init is never told.
  std::vector<std::string> after;  // services that must be ready before the first start
  struct Readiness {
    enum class Kind : uint8_t { kStarted, kPath, kHttp, kCri, kTls, kExited } kind = Kind::kStarted;
    std::string target;            // a path that must exist, a socket's path, or a URL
    std::string file;              // that machined writes for it, and before which it is not asked; empty: none
    uint32_t timeout_ms = 60'000;  // after which a service that is still not ready is reported as failing
    uint32_t interval_ms = 250;    // between probes until ready; 10 s after
  } readiness;
};

}  // namespace stele
