#include "init/service.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>

#include "init/listen_socket.h"
#include "init/log.h"

namespace stele::init {
namespace {

constexpr uint64_t kExecDeadline = 10 * kSecond;  // from clone to exec
constexpr uint64_t kKillAgain = kSecond;          // until a killed process is gone

uint32_t Random() {
  uint32_t number = 0;
  (void)!::getrandom(&number, sizeof number, GRND_NONBLOCK);  // early in boot it may be 0: only jitter is lost
  return number;
}

int SignalProcess(int pidfd, int signal) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) != 0 ? errno : 0;
}

// The session's number out of a line of /proc/PID/stat, 0 if it is none.
pid_t SessionOf(const char* stat) {
  const char* after_name = strrchr(stat, ')');  // the name may hold anything
  if (after_name == nullptr) return 0;
  int field = 2;
  for (const char* at = after_name + 1; *at != '\0'; ++at) {
    if (*at == ' ' && ++field == 6) return static_cast<pid_t>(strtol(at + 1, nullptr, 10));
  }
  return 0;
}

// Without cgroups: kills what is still in the session that the service's process made.
void KillSession(pid_t session) {
  UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!proc.ok()) return;
  alignas(8) char entries[4096];
  long size;
  while ((size = ::syscall(SYS_getdents64, proc.get(), entries, sizeof entries)) > 0) {
    for (long at = 0; at < size;) {
      unsigned short length;
      memcpy(&length, entries + at + 16, sizeof length);  // struct linux_dirent64: ino, off, reclen, type, name
      const char* name = entries + at + 19;
      at += length;
      if (name[0] < '1' || name[0] > '9') continue;
      char path[64], stat[512];
      snprintf(path, sizeof path, "%.20s/stat", name);
      UniqueFd file(::openat(proc.get(), path, O_RDONLY | O_CLOEXEC));
      ssize_t got = file.ok() ? ::read(file.get(), stat, sizeof stat - 1) : -1;
      if (got <= 0) continue;
      stat[got] = '\0';
      if (SessionOf(stat) == session) ::kill(static_cast<pid_t>(strtol(name, nullptr, 10)), SIGKILL);
    }
  }
}

}  // namespace

Service::Service(const ServiceContext& context, Owner& owner, ServiceSpec spec)
    : context_(context), owner_(owner), log_(*context.loop) {
  Define(std::move(spec));
}

Service::~Service() { CloseStatus(); }

void Service::Define(ServiceSpec spec) {
  auto program = std::make_unique<Program>(std::move(spec));
  std::vector<std::pair<std::string, UniqueFd>> sockets;
  for (const ListenSocket& socket : program->spec().listen) {
    UniqueFd kept;
    for (auto& [address, fd] : sockets_) {
      if (address == socket.address) kept = std::move(fd);
    }
    sockets.emplace_back(socket.address, std::move(kept));
  }
  sockets_ = std::move(sockets);
  program_ = std::move(program);
  state_.name = program_->spec().name;
  state_.spec_hash = init_protocol::SpecHash(program_->spec());
  changed_ = true;
}

const ServiceState& Service::state() {
  state_.next_start_ns = state_.state == RunState::kBackoff ? deadline_ : 0;
  state_.dropped_log_bytes = log_.dropped_bytes();
  return state_;
}

void Service::Enter(RunState state, uint64_t deadline) {
  state_.state = state;
  deadline_ = deadline;
  changed_ = true;
}

void Service::Start(uint64_t now) {
  if (for_good_) return;
  state_.desired_up = true;
  changed_ = true;
  switch (state_.state) {
    case RunState::kStopped:
    case RunState::kFinished:
    case RunState::kBackoff:
      SpawnNow(now);
      return;
    case RunState::kRunning:
    case RunState::kStopping:
      return;  // once stopped, it starts
  }
}

void Service::StartAt(uint64_t when) {
  if (for_good_) return;
  state_.desired_up = true;
  if (state_.state == RunState::kStopped || state_.state == RunState::kFinished) Enter(RunState::kBackoff, when);
}

void Service::Stop(uint64_t now) {
  state_.desired_up = false;
  changed_ = true;
  backoff_.Reset();
  switch (state_.state) {
    case RunState::kBackoff:
      Enter(RunState::kStopped, kNever);
      return;
    case RunState::kRunning:
      Enter(RunState::kStopping, now + spec().stop_timeout_ms * kMillisecond);
      SignalProcess(pidfd_.get(), spec().stop_signal);
      return;
    case RunState::kStopped:
    case RunState::kFinished:
    case RunState::kStopping:
      return;
  }
}

void Service::Restart(uint64_t now) {
  if (state_.state == RunState::kRunning) Stop(now);
  Start(now);
}

void Service::StopForGood(uint64_t now, uint64_t timeout_ms) {
  for_good_ = true;
  bool was_stopping = state_.state == RunState::kStopping;
  Stop(now);
  uint64_t latest = now + timeout_ms * kMillisecond;
  if (state_.state == RunState::kStopping && (!was_stopping || deadline_ > latest))
    deadline_ = std::min(deadline_, latest);
}

void Service::Kill() {
  if (!has_process()) return;
  SignalProcess(pidfd_.get(), SIGKILL);
  if (spec().kill_mode == KillMode::kProcess) return;
  if (cgroup_.ok()) {
    bool killed = false;
    KillCgroup(cgroup_.get(), killed);
    group_killed_ |= killed;
  } else {
    ::kill(-state_.pid, SIGKILL);
    KillSession(state_.pid);
  }
}

void Service::OnDeadline(uint64_t now) {
  if (now < deadline_) return;
  switch (state_.state) {
    case RunState::kBackoff:
      if (for_good_) return Enter(RunState::kStopped, kNever);
      SpawnNow(now);
      return;
    case RunState::kStopping:
      Log(Level::kWarning, "%s did not end in time: killed", state_.name.c_str());
      Kill();
      deadline_ = now + kKillAgain;
      return;
    case RunState::kRunning:   // not executed yet, or the deadline would be kNever
      if (NoteExec()) return;  // it was, but the pipe could not be watched
      Log(Level::kWarning, "%s is stuck before exec: killed", state_.name.c_str());
      Kill();
      deadline_ = now + kKillAgain;
      return;
    case RunState::kStopped:
    case RunState::kFinished:
      deadline_ = kNever;
      return;
  }
}

SpawnError Service::OpenSockets() {
  for (size_t i = 0; i < sockets_.size(); ++i) {
    if (sockets_[i].second.ok()) continue;
    absl::StatusOr<UniqueFd> socket = OpenListenSocket(spec().listen[i]);
    if (!socket.ok()) {
      Log(Level::kError, "%s: %s", state_.name.c_str(), std::string(socket.status().message()).c_str());
      return {SpawnStep::kSocket, absl::IsInvalidArgument(socket.status()) || errno == 0 ? EINVAL : errno};
    }
    sockets_[i].second = *std::move(socket);
  }
  return {};
}

SpawnError Service::TrySpawn() {
  if (int error = log_.Create(); error != 0) return {SpawnStep::kPipe, error};
  // So that the service may open /dev/stderr again under its own user.
  (void)!::fchown(log_.write_end(), spec().uid, spec().gid);
  try {
    if (SpawnError failure = OpenSockets(); failure.step != SpawnStep::kNone) return failure;
  } catch (const std::bad_alloc&) {  // the first start only: later they are open
    return {SpawnStep::kSocket, ENOMEM};
  }

  if (context_.cgroups->ok()) {
    // A killed group is replaced by a new one, if what was killed in it is gone.
    if (group_killed_) group_killed_ = context_.cgroups->Remove(program_->cgroup()) != 0;
    if (int error = context_.cgroups->Make(program_->cgroup(), cgroup_); error != 0) return {SpawnStep::kCgroup, error};
    for (const auto& [file, value] : spec().cgroup_settings) {
      int error = WriteCgroupSetting(cgroup_.get(), file.c_str(), value.data(), value.size());
      if (error == ENOENT) {  // no such controller here
        if (state_.starts == 0) Log(Level::kWarning, "%s: no %s here", state_.name.c_str(), file.c_str());
      } else if (error != 0) {
        return {SpawnStep::kCgroup, error};
      }
    }
  }

  int passed[8];
  size_t count = 0;
  UniqueFd control(owner_.ControlDescriptor(*this));
  if (control.ok()) passed[count++] = control.get();
  for (auto& [address, socket] : sockets_) passed[count++] = socket.get();

  SpawnRequest request = {.program = *program_,
                          .log = log_.write_end(),
                          .passed = {passed, count},
                          .cgroup = cgroup_.get(),
                          .enter_cgroup_itself = group_killed_};
  if (!spec().join.empty()) {
    request.join = owner_.FindProcess(spec().join);
    if (request.join < 0) return {SpawnStep::kJoin, ESRCH};
  }
  Spawned spawned;
  SpawnError failure = Spawn(*context_.spawn, request, spawned);
  if (failure.step != SpawnStep::kNone) return failure;
  state_.pid = spawned.pid;
  pidfd_ = std::move(spawned.pidfd);
  status_ = std::move(spawned.status);
  // Unwatched, it is read when the process ends; only the news of exec comes late.
  context_.loop->Add(status_.get(), EPOLLIN, this).IgnoreError();
  return {};
}

void Service::SpawnNow(uint64_t now) {
  ++state_.starts;
  state_.started_ns = now;
  state_.state = RunState::kRunning;  // told when exec has happened
  failure_ = TrySpawn();
  if (failure_.step == SpawnStep::kNone) {
    deadline_ = now + kExecDeadline;
    return;
  }
  state_.exit_kind = ExitKind::kSpawnFailed;
  state_.exit_value = failure_.error;
  state_.failed_step = failure_.step;
  Ended(now);
}

void Service::OnReady(uint32_t) { NoteExec(); }

bool Service::NoteExec() {
  if (!ReadStatus()) return false;
  if (state_.state == RunState::kRunning) deadline_ = kNever;
  changed_ = true;
  owner_.Executed(*this);
  return true;
}

// End of file: the program runs (true). A SpawnError: the child is about to exit, OnExit tells.
bool Service::ReadStatus() {
  if (!status_.ok()) return false;
  SpawnError failure;
  ssize_t got = ::read(status_.get(), &failure, sizeof failure);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  CloseStatus();
  if (got == static_cast<ssize_t>(sizeof failure)) failure_ = failure;
  return got == 0;
}

void Service::CloseStatus() {
  if (status_.ok()) context_.loop->Remove(status_.get(), this);
  status_.reset();
}

void Service::OnExit(uint64_t now, int code, int value) {
  ReadStatus();
  CloseStatus();
  if (failure_.step != SpawnStep::kNone) {
    state_.exit_kind = ExitKind::kSpawnFailed;
    state_.exit_value = failure_.error;
    state_.failed_step = failure_.step;
  } else {
    state_.exit_kind = code == CLD_EXITED ? ExitKind::kExited : ExitKind::kSignaled;
    state_.exit_value = value;
    state_.failed_step = SpawnStep::kNone;
  }
  Kill();  // what it left behind
  state_.pid = 0;
  pidfd_.reset();
  cgroup_.reset();
  Ended(now);
}

void Service::Ended(uint64_t now) {
  bool stopping = state_.state == RunState::kStopping;
  if (!stopping) {
    absl::string_view step = init_protocol::SpawnStepName(state_.failed_step);
    switch (state_.exit_kind) {
      case ExitKind::kNone:
        break;
      case ExitKind::kExited:
        Log(Level::kNotice, "%s exited with %d", state_.name.c_str(), state_.exit_value);
        break;
      case ExitKind::kSignaled:
        Log(Level::kNotice, "%s was ended by signal %d", state_.name.c_str(), state_.exit_value);
        break;
      case ExitKind::kSpawnFailed:
        Log(Level::kError, "start %s: %.*s: errno %d", state_.name.c_str(), static_cast<int>(step.size()), step.data(),
            state_.exit_value);
        break;
    }
  }
  if (!state_.desired_up || for_good_) {
    Enter(RunState::kStopped, kNever);
  } else if (stopping) {
    SpawnNow(now);
  } else if (spec().restart == RestartPolicy::kNever ||
             (spec().restart == RestartPolicy::kOnFailure && state_.exit_kind == ExitKind::kExited &&
              state_.exit_value == 0)) {
    Enter(RunState::kFinished, kNever);
  } else {
    uint64_t up_ms = (now - state_.started_ns) / kMillisecond;
    Enter(RunState::kBackoff, now + backoff_.NextMs(up_ms, spec().longest_backoff_ms, Random()) * kMillisecond);
  }
}

}  // namespace stele::init
