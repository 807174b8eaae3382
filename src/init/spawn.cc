#include "init/spawn.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "init/cgroup.h"

namespace stele::init {
namespace {

uint64_t OwnCapabilities() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  if (::syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].permitted | (static_cast<uint64_t>(data[1].permitted) << 32);
}

int SetCapabilities(uint64_t set) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  auto low = static_cast<uint32_t>(set), high = static_cast<uint32_t>(set >> 32);
  __user_cap_data_struct data[2] = {{low, low, low}, {high, high, high}};
  return ::syscall(SYS_capset, &header, data) != 0 ? errno : 0;
}

// The child's side. Every step returns 0 or errno; nothing here may allocate, lock or return to init.
class Child {
 public:
  Child(const SpawnEnvironment& environment, const SpawnRequest& request, int status)
      : environment_(environment), request_(request), spec_(request.program.spec()), status_(status) {}

  [[noreturn]] void Run() {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::umask(022);
    Step(SpawnStep::kCgroup, EnterCgroup());
    Step(SpawnStep::kJoin, Join());
    Step(SpawnStep::kSession, ::setsid() < 0 ? errno : 0);
    Step(SpawnStep::kMounts, SetUpMounts());
    Step(SpawnStep::kOomScore, SetOomScore());
    Step(SpawnStep::kLimits, SetLimits());
    Step(SpawnStep::kDirectory, ::chdir(spec_.directory.c_str()) != 0 ? errno : 0);
    Step(SpawnStep::kDescriptors, PlaceDescriptors());
    Step(SpawnStep::kCapabilities, DropBounding());
    Step(SpawnStep::kUser, BecomeUser());
    Step(SpawnStep::kCapabilities, KeepCapabilities());
    if (spec_.no_new_privs) {
      Step(SpawnStep::kCapabilities, ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? errno : 0);
    }
    int listen_fds = static_cast<int>(request_.passed.size());
    ::execve(spec_.argv[0].c_str(), request_.program.argv(), request_.program.Environment(listen_fds));
    Step(SpawnStep::kExec, errno);
    ::_exit(127);
  }

 private:
  void Step(SpawnStep step, int error) {
    if (error == 0) return;
    SpawnError failure = {step, error};
    (void)!::write(status_, &failure, sizeof failure);  // the exit status tells the rest
    ::_exit(127);
  }

  int EnterCgroup() {
    if (!request_.enter_cgroup_itself || request_.cgroup < 0) return 0;
    return WriteCgroupSetting(request_.cgroup, "cgroup.procs", "0", 1);
  }

  // The PID namespace was entered by init around clone3; the mount namespace is entered here.
  int Join() {
    if (request_.join < 0) return 0;
    return ::setns(request_.join, CLONE_NEWNS) != 0 ? errno : 0;
  }

  int SetUpMounts() {
    if (!spec_.namespaces.mount) return 0;
    // Mounts of the node go on coming in; ours never go out.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return errno;
    if (spec_.shared_mounts && ::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) return errno;
    if (spec_.namespaces.pid && ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
      return errno;
    }
    for (const std::string& path : spec_.hide) {
      unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY;
      if (::mount("none", path.c_str(), "tmpfs", flags, "mode=0,size=4k") != 0 && errno != ENOENT) return errno;
    }
    return 0;
  }

  int SetOomScore() {
    char text[16];
    int size = snprintf(text, sizeof text, "%d", spec_.oom_score_adj);
    int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return environment_.lenient_limits ? 0 : errno;
    int error = ::write(fd, text, static_cast<size_t>(size)) < 0 ? errno : 0;
    ::close(fd);
    return environment_.lenient_limits && error == EACCES ? 0 : error;
  }

  int SetLimits() {
    for (const ResourceLimit& limit : spec_.limits) {
      rlimit value = {limit.soft, limit.hard};
      if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) == 0) continue;
      if (errno != EPERM || !environment_.lenient_limits) return errno;
      rlimit now;
      if (::getrlimit(static_cast<__rlimit_resource>(limit.resource), &now) != 0) return errno;
      value.rlim_max = now.rlim_max;
      if (value.rlim_cur > value.rlim_max) value.rlim_cur = value.rlim_max;
      if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) != 0) return errno;
    }
    return 0;
  }

  // Everything first moves out of the way of its targets, then into place; whatever else is open
  // closes at exec even if somebody forgot its O_CLOEXEC.
  int PlaceDescriptors() {
    constexpr int kAbove = 32;
    int count = static_cast<int>(request_.passed.size());
    int passed[8];
    if (count > 8) return E2BIG;
    status_ = ::fcntl(status_, F_DUPFD_CLOEXEC, kAbove);
    if (status_ < 0) return errno;
    for (int i = 0; i < count; ++i) {
      passed[i] = ::fcntl(request_.passed[i], F_DUPFD_CLOEXEC, kAbove);
      if (passed[i] < 0) return errno;
    }
    int log = ::fcntl(request_.log, F_DUPFD_CLOEXEC, kAbove);
    if (log < 0) return errno;
    int null = ::fcntl(environment_.null.get(), F_DUPFD_CLOEXEC, kAbove);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(log, 1) < 0 || ::dup2(log, 2) < 0) return errno;
    for (int i = 0; i < count; ++i) {
      if (::dup2(passed[i], 3 + i) < 0) return errno;
    }
    ::syscall(SYS_close_range, 3 + count, ~0u, CLOSE_RANGE_CLOEXEC);
    return 0;
  }

  uint64_t Kept() const {
    return spec_.all_capabilities ? environment_.capabilities : spec_.capabilities & environment_.capabilities;
  }

  int DropBounding() {
    if (spec_.all_capabilities) return 0;
    for (int capability = 0; capability <= environment_.last_capability; ++capability) {
      if (spec_.capabilities >> capability & 1) continue;
      if (::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
      if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return errno;
    }
    return 0;
  }

  // By system call: glibc's wrappers would tell threads that are not there.
  int BecomeUser() {
    if (Kept() != 0 && spec_.uid != 0) ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    bool has_groups = ::getgroups(0, nullptr) != 0 || !spec_.groups.empty();
    if (has_groups && ::syscall(SYS_setgroups, spec_.groups.size(), spec_.groups.data()) != 0) return errno;
    if (::syscall(SYS_setresgid, spec_.gid, spec_.gid, spec_.gid) != 0) return errno;
    if (::syscall(SYS_setresuid, spec_.uid, spec_.uid, spec_.uid) != 0) return errno;
    return 0;
  }

  int KeepCapabilities() {
    uint64_t kept = Kept();
    if (int error = SetCapabilities(kept); error != 0) return error;
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (spec_.uid == 0) return 0;  // exec as root keeps what is left in the bounding set
    for (int capability = 0; capability <= environment_.last_capability; ++capability) {
      if (!(kept >> capability & 1)) continue;
      if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0) return errno;
    }
    return 0;
  }

  const SpawnEnvironment& environment_;
  const SpawnRequest& request_;
  const ServiceSpec& spec_;
  int status_;
};

uint64_t CloneFlags(const NewNamespaces& made) {
  return (made.pid ? CLONE_NEWPID : 0u) | (made.mount ? CLONE_NEWNS : 0u) | (made.ipc ? CLONE_NEWIPC : 0u) |
         (made.uts ? CLONE_NEWUTS : 0u) | (made.network ? CLONE_NEWNET : 0u);
}

}  // namespace

SpawnEnvironment SpawnEnvironment::Open() {
  SpawnEnvironment environment;
  environment.null = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  environment.own_pid_namespace = UniqueFd(::open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
  environment.capabilities = OwnCapabilities();
  while (environment.last_capability < 63 && ::prctl(PR_CAPBSET_READ, environment.last_capability + 1, 0, 0, 0) >= 0) {
    ++environment.last_capability;
  }
  return environment;
}

SpawnError Spawn(const SpawnEnvironment& environment, const SpawnRequest& request, Spawned& spawned) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {SpawnStep::kPipe, errno};
  UniqueFd status_read(ends[0]), status_write(ends[1]);

  int pidfd = -1;
  clone_args arguments = {};
  // CLEAR_SIGHAND: a child that crashes before exec must not run init's crash handler.
  arguments.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND | CloneFlags(request.program.spec().namespaces);
  arguments.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  if (request.cgroup >= 0 && !request.enter_cgroup_itself) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(request.cgroup);
  }
  // The PID namespace of children is a property of init while it clones; it must be put back
  // before anything else is spawned.
  if (request.join >= 0 && ::setns(request.join, CLONE_NEWPID) != 0) return {SpawnStep::kJoin, errno};
  long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) Child(environment, request, status_write.get()).Run();
  int error = errno;
  if (request.join >= 0 && ::setns(environment.own_pid_namespace.get(), CLONE_NEWPID) != 0) {
    // Children would be born into the wrong namespace from now on. It has never been seen to fail
    // (the descriptor is open and init has the capability); the crash handler ends the machine.
    ::abort();
  }
  if (pid < 0) {
    bool by_cgroup = request.cgroup >= 0 && (error == EBUSY || error == EOPNOTSUPP || error == ENODEV);
    return {by_cgroup ? SpawnStep::kCgroup : SpawnStep::kClone, error};
  }
  spawned.pid = static_cast<pid_t>(pid);
  spawned.pidfd.reset(pidfd);
  spawned.status = std::move(status_read);
  return {};
}

}  // namespace stele::init
