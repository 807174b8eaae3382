#include "apid/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>
#include <iterator>
#include <vector>

#include "base/landlock.h"

namespace stele {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "name this architecture's AUDIT_ARCH"
#endif

// What an event loop over sockets, OpenSSL and malloc use. No exec, no fork, and an open only as below.
constexpr int kAllowed[] = {
    SYS_read,         SYS_write,          SYS_readv,           SYS_writev,       SYS_recvfrom,        SYS_sendto,
    SYS_recvmsg,      SYS_sendmsg,        SYS_close,           SYS_shutdown,     SYS_fcntl,           SYS_ioctl,
    SYS_socket,       SYS_connect,        SYS_accept4,         SYS_getsockopt,   SYS_setsockopt,      SYS_getsockname,
    SYS_getpeername,  SYS_epoll_ctl,      SYS_epoll_pwait,
#if defined(SYS_epoll_wait)
    SYS_epoll_wait,
#endif
    SYS_brk,          SYS_mmap,           SYS_munmap,          SYS_mremap,       SYS_madvise,         SYS_mprotect,
    SYS_futex,        SYS_clock_gettime,  SYS_clock_nanosleep, SYS_gettimeofday, SYS_getrandom,       SYS_getpid,
    SYS_gettid,       SYS_tgkill,         SYS_getrusage,       SYS_prlimit64,
#if defined(SYS_time)
    SYS_time,
#endif
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn,    SYS_sigaltstack,  SYS_restart_syscall, SYS_exit,
    SYS_exit_group,   SYS_rseq,           SYS_sched_yield,     SYS_uname,        SYS_lseek,           SYS_newfstatat,
    SYS_fstat,
};

absl::Status FilterSystemCalls() {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
  };
  for (int call : kAllowed) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  // openat, to read and in no other way; which files is Landlock's to say.
  constexpr uint32_t kToRead = O_RDONLY | O_CLOEXEC;
  constexpr uint32_t kFlags =
      offsetof(seccomp_data, args) + 2 * sizeof(uint64_t);  // its low half: both are little-endian
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlags));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kToRead, 0, 1));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return ErrnoStatus("filter system calls");
  return absl::OkStatus();
}

}  // namespace

absl::Status EnterSandbox(const std::string& keys) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return absl::OkStatus();  // the sanitizers' own run time opens files and starts threads
#endif
  rlimit no_core = {0, 0};
  if (::setrlimit(RLIMIT_CORE, &no_core) != 0) return ErrnoStatus("forbid core dumps");
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus("become undumpable");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoStatus("give up new privileges");
  // machined's socket stays reachable.
  if (int error = EnterLandlock({keys.c_str()}); error != 0) return StatusFromErrno(error, "enter Landlock");
  return FilterSystemCalls();
}

}  // namespace stele
