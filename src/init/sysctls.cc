#include "init/sysctls.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"
#include "init/log.h"

namespace stele::init {
namespace {

struct Sysctl {
  SysctlTime time;
  const char* name;  // below /proc/sys
  const char* value;
};

constexpr Sysctl kSysctls[] = {
    // What the kubelet wants; with these, protectKernelDefaults holds.
    {SysctlTime::kBoot, "vm/overcommit_memory", "1"},
    {SysctlTime::kBoot, "vm/panic_on_oom", "0"},
    {SysctlTime::kBoot, "kernel/panic", "10"},
    {SysctlTime::kBoot, "kernel/panic_on_oops", "1"},
    {SysctlTime::kBoot, "kernel/keys/root_maxkeys", "1000000"},
    {SysctlTime::kBoot, "kernel/keys/root_maxbytes", "25000000"},
    {SysctlTime::kBoot, "net/ipv4/ip_forward", "1"},
    {SysctlTime::kAfterModules, "net/bridge/bridge-nf-call-iptables", "1"},
    {SysctlTime::kAfterModules, "net/bridge/bridge-nf-call-ip6tables", "1"},
    // Room for many pods.
    {SysctlTime::kBoot, "fs/inotify/max_user_instances", "8192"},
    {SysctlTime::kBoot, "fs/inotify/max_user_watches", "524288"},
    {SysctlTime::kBoot, "vm/max_map_count", "262144"},
    {SysctlTime::kBoot, "kernel/pid_max", "4194304"},
    {SysctlTime::kBoot, "net/core/somaxconn", "4096"},
    {SysctlTime::kBoot, "net/ipv4/neigh/default/gc_thresh1", "1024"},
    {SysctlTime::kBoot, "net/ipv4/neigh/default/gc_thresh2", "4096"},
    {SysctlTime::kBoot, "net/ipv4/neigh/default/gc_thresh3", "8192"},
    // Hardening: what a process can learn of the kernel and of others, and do with files and networks.
    {SysctlTime::kBoot, "kernel/kptr_restrict", "2"},
    {SysctlTime::kBoot, "kernel/dmesg_restrict", "1"},
    {SysctlTime::kBoot, "kernel/perf_event_paranoid", "3"},
    {SysctlTime::kBoot, "kernel/unprivileged_bpf_disabled", "1"},
    {SysctlTime::kBoot, "net/core/bpf_jit_harden", "2"},
    {SysctlTime::kBoot, "kernel/yama/ptrace_scope", "1"},
    {SysctlTime::kBoot, "kernel/randomize_va_space", "2"},
    {SysctlTime::kBoot, "kernel/sysrq", "0"},  // keys of a console; init's own writes are not asked
    {SysctlTime::kBoot, "kernel/core_pattern", "|/bin/false"},
    {SysctlTime::kBoot, "kernel/core_uses_pid", "1"},
    {SysctlTime::kBoot, "fs/suid_dumpable", "0"},
    {SysctlTime::kBoot, "fs/protected_symlinks", "1"},
    {SysctlTime::kBoot, "fs/protected_hardlinks", "1"},
    {SysctlTime::kBoot, "fs/protected_fifos", "2"},
    {SysctlTime::kBoot, "fs/protected_regular", "2"},
    {SysctlTime::kBoot, "dev/tty/ldisc_autoload", "0"},
    {SysctlTime::kBoot, "vm/unprivileged_userfaultfd", "0"},
    {SysctlTime::kBoot, "net/ipv4/tcp_syncookies", "1"},
    {SysctlTime::kBoot, "net/ipv4/tcp_rfc1337", "1"},
    {SysctlTime::kBoot, "net/ipv4/conf/all/rp_filter", "2"},  // loose: pods' answers may leave another way
    {SysctlTime::kBeforeDevices, "net/ipv4/conf/default/rp_filter", "2"},
    {SysctlTime::kBoot, "net/ipv4/conf/all/accept_redirects", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv4/conf/default/accept_redirects", "0"},
    {SysctlTime::kBoot, "net/ipv4/conf/all/secure_redirects", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv4/conf/default/secure_redirects", "0"},
    {SysctlTime::kBoot, "net/ipv4/conf/all/send_redirects", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv4/conf/default/send_redirects", "0"},
    {SysctlTime::kBoot, "net/ipv4/conf/all/accept_source_route", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv4/conf/default/accept_source_route", "0"},
    {SysctlTime::kBoot, "net/ipv6/conf/all/accept_redirects", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv6/conf/default/accept_redirects", "0"},
    {SysctlTime::kBoot, "net/ipv6/conf/all/accept_source_route", "0"},
    {SysctlTime::kBeforeDevices, "net/ipv6/conf/default/accept_source_route", "0"},
};

int Write(const char* name, const char* value) {
  char path[128];
  snprintf(path, sizeof path, "/proc/sys/%s", name);
  UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  if (!fd.ok()) return errno;
  return ::write(fd.get(), value, strlen(value)) < 0 ? errno : 0;
}

}  // namespace

size_t ApplySysctls(SysctlTime time) {
  size_t failed = 0;
  for (const Sysctl& sysctl : kSysctls) {
    if (sysctl.time != time) continue;
    int error = Write(sysctl.name, sysctl.value);
    if (error == 0 || error == ENOENT) continue;
    Log(Level::kWarning, "set %s to %s: errno %d", sysctl.name, sysctl.value, error);
    ++failed;
  }
  return failed;
}

}  // namespace stele::init
