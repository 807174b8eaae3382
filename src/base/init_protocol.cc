#include "base/init_protocol.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/status.h"

namespace stele::init_protocol {
namespace {

constexpr size_t kHeaderSize = 8;  // version, type, request
constexpr size_t kFieldHead = 4;   // tag, length

// How much of a kind one spec may hold. A spec must fit kMaxMessage too; these keep init's own
// tables small.
constexpr size_t kMaxArguments = 64;
constexpr size_t kMaxEnvironment = 64;
constexpr size_t kMaxGroups = 16;
constexpr size_t kMaxLimits = 16;
constexpr size_t kMaxHidden = 16;
constexpr size_t kMaxCgroupSettings = 16;
constexpr size_t kMaxListen = 4;
constexpr size_t kMaxPath = 256;
constexpr size_t kMaxText = 1024;
constexpr size_t kMaxName = 32;
constexpr uint32_t kMaxStopTimeoutMs = 600'000;

// Field numbers. They belong to a message type, are never used again, and an unknown one is an
// error: both sides have the same kVersion or do not talk.
enum ReplyTag : uint16_t { kReplyError = 1, kReplyText };
enum NameTag : uint16_t { kName = 1 };
enum ShutdownTag : uint16_t { kAction = 1, kForce };
enum StateTag : uint16_t {
  kStateName = 1,
  kStateState,
  kStateDesiredUp,
  kStatePid,
  kStateStarts,
  kStateStarted,
  kStateNextStart,
  kStateExitKind,
  kStateExitValue,
  kStateFailedStep,
  kStateSpecHash,
  kStateDropped,
};
enum PhaseTag : uint16_t {
  kPhaseName = 1,
  kPhaseByMachined,
  kPhaseState,
  kPhaseStart,
  kPhaseEnd,
  kPhaseDeadline,
  kPhaseMessage,
};
enum DefineTag : uint16_t {
  kSpecName = 1,
  kSpecArgument,
  kSpecEnvironment,
  kSpecDirectory,
  kSpecUid,
  kSpecGid,
  kSpecGroup,
  kSpecCapabilities,
  kSpecFlags,
  kSpecLimit,  // resource; soft and hard follow and belong to the limit before them
  kSpecLimitSoft,
  kSpecLimitHard,
  kSpecOomScoreAdj,
  kSpecNamespaces,
  kSpecJoin,
  kSpecHide,
  kSpecCgroup,
  kSpecCgroupSetting,  // "memory.max=128M"
  kSpecListen,         // address; the next three belong to the socket before them
  kSpecListenBacklog,
  kSpecListenMode,
  kSpecListenUid,
  kSpecRestart,
  kSpecKillMode,
  kSpecStopSignal,
  kSpecStopTimeout,
  kSpecLongestBackoff,
};
constexpr uint64_t kAllCapabilities = 1, kNoNewPrivs = 2, kSharedMounts = 4, kAllFlags = 7;         // kSpecFlags
constexpr uint64_t kPidNs = 1, kMountNs = 2, kIpcNs = 4, kUtsNs = 8, kNetworkNs = 16, kAllNs = 31;  // kSpecNamespaces

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

// One field as it lies in the packet.
struct Field {
  uint16_t tag = 0;
  absl::string_view value;

  absl::StatusOr<uint64_t> Number(uint64_t most) const {
    uint64_t number = 0;
    if (value.size() != sizeof number) return Bad(absl::StrCat("field ", tag, ": not a number"));
    memcpy(&number, value.data(), sizeof number);
    if (number > most) return Bad(absl::StrCat("field ", tag, ": ", number, " is above ", most));
    return number;
  }
  absl::StatusOr<int64_t> Signed(int64_t least, int64_t most) const {
    ASSIGN_OR_RETURN(uint64_t raw, Number(UINT64_MAX));
    int64_t number = static_cast<int64_t>(raw);
    if (number < least || number > most) return Bad(absl::StrCat("field ", tag, ": ", number, " is out of range"));
    return number;
  }
  // A string that may become a C string.
  absl::StatusOr<std::string> Text(size_t most) const {
    if (value.size() > most) return Bad(absl::StrCat("field ", tag, ": longer than ", most));
    if (value.find('\0') != absl::string_view::npos) return Bad(absl::StrCat("field ", tag, ": holds a NUL"));
    return std::string(value);
  }
};

// Walks a packet of type `type`; `each` gets every field in order.
template <typename Each>
absl::Status ForEachField(absl::Span<const uint8_t> packet, Type type, Each each) {
  ASSIGN_OR_RETURN(Header header, DecodeHeader(packet));
  if (header.type != type) return Bad("another type of message than expected");
  size_t at = kHeaderSize;
  while (at < packet.size()) {
    if (packet.size() - at < kFieldHead) return Bad("truncated in a field's head");
    uint16_t tag = 0, length = 0;
    memcpy(&tag, &packet[at], sizeof tag);
    memcpy(&length, &packet[at + 2], sizeof length);
    at += kFieldHead;
    if (packet.size() - at < length) return Bad(absl::StrCat("truncated in field ", tag));
    RETURN_IF_ERROR(each(Field{tag, {reinterpret_cast<const char*>(packet.data()) + at, length}}));
    at += length;
  }
  return absl::OkStatus();
}

// Stores a field's number in `out`, checked against `most`.
template <typename T>
absl::Status Store(const Field& field, uint64_t most, T& out) {
  ASSIGN_OR_RETURN(uint64_t number, field.Number(most));
  out = static_cast<T>(number);
  return absl::OkStatus();
}
absl::Status StoreText(const Field& field, size_t most, std::string& out) {
  ASSIGN_OR_RETURN(out, field.Text(most));
  return absl::OkStatus();
}
absl::Status AppendText(const Field& field, size_t most_entries, size_t most, std::vector<std::string>& out) {
  if (out.size() >= most_entries) return Bad(absl::StrCat("field ", field.tag, ": more than ", most_entries));
  ASSIGN_OR_RETURN(std::string text, field.Text(most));
  out.push_back(std::move(text));
  return absl::OkStatus();
}
absl::Status Unknown(const Field& field) { return Bad(absl::StrCat("unknown field ", field.tag)); }

// A service's name becomes a directory and a file name.
bool IsServiceName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxName || name[0] == '-') return false;
  for (char c : name) {
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
  }
  return true;
}

// Absolute and without "..": init follows it as root.
bool IsPath(absl::string_view path) {
  return !path.empty() && path[0] == '/' && absl::StrCat(path, "/").find("/../") == std::string::npos;
}
// Below the cgroup tree.
bool IsCgroupPath(absl::string_view path) {
  return path.empty() || (path[0] != '/' && IsPath(absl::StrCat("/", path)));
}

absl::Status StoreCgroupSetting(const Field& field, ServiceSpec& spec) {
  if (spec.cgroup_settings.size() >= kMaxCgroupSettings) return Bad("too many cgroup settings");
  ASSIGN_OR_RETURN(std::string text, field.Text(kMaxPath));
  size_t equal = text.find('=');
  if (equal == std::string::npos || equal == 0) return Bad("a cgroup setting without '='");
  // Lower-case words and dots: neither a path nor one of cgroup.procs, cgroup.kill.
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._") < equal || text.compare(0, 7, "cgroup.") == 0) {
    return Bad("a cgroup setting of a bad name");
  }
  spec.cgroup_settings.emplace_back(text.substr(0, equal), text.substr(equal + 1));
  return absl::OkStatus();
}

absl::Status StoreSpecField(const Field& field, ServiceSpec& spec) {
  switch (field.tag) {
    case kSpecName:
      return StoreText(field, kMaxName, spec.name);
    case kSpecArgument:
      return AppendText(field, kMaxArguments, kMaxMessage, spec.argv);
    case kSpecEnvironment:
      return AppendText(field, kMaxEnvironment, kMaxMessage, spec.env);
    case kSpecDirectory:
      return StoreText(field, kMaxPath, spec.directory);
    case kSpecUid:
      return Store(field, UINT32_MAX - 1, spec.uid);
    case kSpecGid:
      return Store(field, UINT32_MAX - 1, spec.gid);
    case kSpecGroup: {
      if (spec.groups.size() >= kMaxGroups) return Bad("too many groups");
      return Store(field, UINT32_MAX - 1, spec.groups.emplace_back());
    }
    case kSpecCapabilities:
      return Store(field, UINT64_MAX, spec.capabilities);
    case kSpecFlags: {
      ASSIGN_OR_RETURN(uint64_t flags, field.Number(kAllFlags));
      spec.all_capabilities = flags & kAllCapabilities;
      spec.no_new_privs = flags & kNoNewPrivs;
      spec.shared_mounts = flags & kSharedMounts;
      return absl::OkStatus();
    }
    case kSpecLimit: {
      if (spec.limits.size() >= kMaxLimits) return Bad("too many limits");
      return Store(field, RLIM_NLIMITS - 1, spec.limits.emplace_back().resource);
    }
    case kSpecLimitSoft:
    case kSpecLimitHard: {
      if (spec.limits.empty()) return Bad("a limit's value before the limit");
      ResourceLimit& limit = spec.limits.back();
      return Store(field, UINT64_MAX, field.tag == kSpecLimitSoft ? limit.soft : limit.hard);
    }
    case kSpecOomScoreAdj: {
      ASSIGN_OR_RETURN(spec.oom_score_adj, field.Signed(-1000, 1000));
      return absl::OkStatus();
    }
    case kSpecNamespaces: {
      ASSIGN_OR_RETURN(uint64_t bits, field.Number(kAllNs));
      spec.namespaces = {.pid = (bits & kPidNs) != 0,
                         .mount = (bits & kMountNs) != 0,
                         .ipc = (bits & kIpcNs) != 0,
                         .uts = (bits & kUtsNs) != 0,
                         .network = (bits & kNetworkNs) != 0};
      return absl::OkStatus();
    }
    case kSpecJoin:
      return StoreText(field, kMaxName, spec.join);
    case kSpecHide:
      return AppendText(field, kMaxHidden, kMaxPath, spec.hide);
    case kSpecCgroup:
      return StoreText(field, kMaxPath, spec.cgroup);
    case kSpecCgroupSetting:
      return StoreCgroupSetting(field, spec);
    case kSpecListen: {
      if (spec.listen.size() >= kMaxListen) return Bad("too many sockets");
      return StoreText(field, kMaxPath, spec.listen.emplace_back().address);
    }
    case kSpecListenBacklog:
    case kSpecListenMode:
    case kSpecListenUid: {
      if (spec.listen.empty()) return Bad("a socket's setting before the socket");
      ListenSocket& socket = spec.listen.back();
      if (field.tag == kSpecListenBacklog) return Store(field, 65535, socket.backlog);
      if (field.tag == kSpecListenMode) return Store(field, 0777, socket.mode);
      return Store(field, UINT32_MAX - 1, socket.uid);
    }
    case kSpecRestart:
      return Store(field, static_cast<uint64_t>(RestartPolicy::kNever), spec.restart);
    case kSpecKillMode:
      return Store(field, static_cast<uint64_t>(KillMode::kProcess), spec.kill_mode);
    case kSpecStopSignal: {
      ASSIGN_OR_RETURN(spec.stop_signal, field.Signed(1, SIGRTMAX));
      return absl::OkStatus();
    }
    case kSpecStopTimeout:
      return Store(field, kMaxStopTimeoutMs, spec.stop_timeout_ms);
    case kSpecLongestBackoff:
      return Store(field, kMaxStopTimeoutMs, spec.longest_backoff_ms);
    default:
      return Unknown(field);
  }
}

absl::Status CheckSpec(const ServiceSpec& spec) {
  if (!IsServiceName(spec.name)) return Bad("a service's name is [a-z0-9-]{1,32}");
  if (spec.argv.empty() || !IsPath(spec.argv[0])) return Bad("argv[0] is no absolute path");
  for (const std::string& variable : spec.env) {
    size_t equal = variable.find('=');
    if (equal == std::string::npos || equal == 0) return Bad("an environment entry without '='");
  }
  if (!IsPath(spec.directory)) return Bad("the directory is no absolute path");
  if (!spec.join.empty() && !IsServiceName(spec.join)) return Bad("joins a service of a bad name");
  if (spec.join == spec.name) return Bad("joins itself");
  if (!spec.join.empty() && (spec.namespaces.pid || spec.namespaces.mount)) return Bad("joins and makes a namespace");
  if (!spec.hide.empty() && !spec.namespaces.mount) return Bad("hides paths without a mount namespace of its own");
  for (const std::string& path : spec.hide) {
    if (!IsPath(path)) return Bad("a hidden path is no absolute path");
  }
  if (!IsCgroupPath(spec.cgroup)) return Bad("the cgroup is outside of the tree");
  return absl::OkStatus();
}

void EncodeSpec(const ServiceSpec& spec, Message& out) {
  out.AddBytes(kSpecName, spec.name);
  for (const std::string& argument : spec.argv) out.AddBytes(kSpecArgument, argument);
  for (const std::string& variable : spec.env) out.AddBytes(kSpecEnvironment, variable);
  out.AddBytes(kSpecDirectory, spec.directory);
  out.AddU64(kSpecUid, spec.uid);
  out.AddU64(kSpecGid, spec.gid);
  for (uint32_t group : spec.groups) out.AddU64(kSpecGroup, group);
  out.AddU64(kSpecCapabilities, spec.capabilities);
  out.AddU64(kSpecFlags, (spec.all_capabilities ? kAllCapabilities : 0) | (spec.no_new_privs ? kNoNewPrivs : 0) |
                             (spec.shared_mounts ? kSharedMounts : 0));
  for (const ResourceLimit& limit : spec.limits) {
    out.AddU64(kSpecLimit, limit.resource);
    out.AddU64(kSpecLimitSoft, limit.soft);
    out.AddU64(kSpecLimitHard, limit.hard);
  }
  out.AddU64(kSpecOomScoreAdj, static_cast<uint64_t>(static_cast<int64_t>(spec.oom_score_adj)));
  const NewNamespaces& made = spec.namespaces;
  out.AddU64(kSpecNamespaces, (made.pid ? kPidNs : 0) | (made.mount ? kMountNs : 0) | (made.ipc ? kIpcNs : 0) |
                                  (made.uts ? kUtsNs : 0) | (made.network ? kNetworkNs : 0));
  out.AddBytes(kSpecJoin, spec.join);
  for (const std::string& path : spec.hide) out.AddBytes(kSpecHide, path);
  out.AddBytes(kSpecCgroup, spec.cgroup);
  for (const auto& [file, value] : spec.cgroup_settings) {
    out.AddBytes(kSpecCgroupSetting, absl::StrCat(file, "=", value));
  }
  for (const ListenSocket& socket : spec.listen) {
    out.AddBytes(kSpecListen, socket.address);
    out.AddU64(kSpecListenBacklog, socket.backlog);
    out.AddU64(kSpecListenMode, socket.mode);
    out.AddU64(kSpecListenUid, socket.uid);
  }
  out.AddU64(kSpecRestart, static_cast<uint64_t>(spec.restart));
  out.AddU64(kSpecKillMode, static_cast<uint64_t>(spec.kill_mode));
  out.AddU64(kSpecStopSignal, static_cast<uint64_t>(static_cast<int64_t>(spec.stop_signal)));
  out.AddU64(kSpecStopTimeout, spec.stop_timeout_ms);
  out.AddU64(kSpecLongestBackoff, spec.longest_backoff_ms);
}

}  // namespace

absl::string_view SpawnStepName(SpawnStep step) {
  switch (step) {
    case SpawnStep::kNone:
      return "none";
    case SpawnStep::kPipe:
      return "make its pipes";
    case SpawnStep::kSocket:
      return "open its listening socket";
    case SpawnStep::kCgroup:
      return "make its cgroup";
    case SpawnStep::kJoin:
      return "join namespaces";
    case SpawnStep::kClone:
      return "make the process";
    case SpawnStep::kSession:
      return "make a session";
    case SpawnStep::kNamespaces:
      return "make namespaces";
    case SpawnStep::kMounts:
      return "mount";
    case SpawnStep::kLimits:
      return "set resource limits";
    case SpawnStep::kOomScore:
      return "set oom_score_adj";
    case SpawnStep::kDirectory:
      return "enter its directory";
    case SpawnStep::kCapabilities:
      return "set capabilities";
    case SpawnStep::kUser:
      return "become its user";
    case SpawnStep::kDescriptors:
      return "place descriptors";
    case SpawnStep::kExec:
      return "execute";
  }
  return "unknown";
}

void Message::Begin(Type type, uint32_t request) {
  uint16_t version = kVersion, number = static_cast<uint16_t>(type);
  memcpy(&buffer_[0], &version, sizeof version);
  memcpy(&buffer_[2], &number, sizeof number);
  memcpy(&buffer_[4], &request, sizeof request);
  size_ = kHeaderSize;
  ok_ = true;
}

void Message::AddBytes(uint16_t tag, absl::string_view value) {
  if (value.size() > buffer_.size() || buffer_.size() - size_ < kFieldHead + value.size()) ok_ = false;
  if (!ok_) return;
  uint16_t length = static_cast<uint16_t>(value.size());
  memcpy(&buffer_[size_], &tag, sizeof tag);
  memcpy(&buffer_[size_ + 2], &length, sizeof length);
  if (length > 0) memcpy(&buffer_[size_ + kFieldHead], value.data(), length);
  size_ += kFieldHead + length;
}

void Message::AddU64(uint16_t tag, uint64_t value) {
  AddBytes(tag, {reinterpret_cast<const char*>(&value), sizeof value});
}

void EncodeHello(Message& out) { out.Begin(Type::kHello, 0); }

void EncodeReply(uint32_t request, int error, absl::string_view text, Message& out) {
  out.Begin(Type::kReply, request);
  out.AddU64(kReplyError, static_cast<uint64_t>(error));
  out.AddBytes(kReplyText, text.substr(0, kMaxText));
}

void EncodeDefine(uint32_t request, const ServiceSpec& spec, Message& out) {
  out.Begin(Type::kDefine, request);
  EncodeSpec(spec, out);
}

void EncodeName(Type type, uint32_t request, absl::string_view name, Message& out) {
  out.Begin(type, request);
  out.AddBytes(kName, name);
}

void EncodeList(uint32_t request, Message& out) { out.Begin(Type::kList, request); }

void EncodeTrialOver(uint32_t request, Message& out) { out.Begin(Type::kTrialOver, request); }

void EncodeShutdown(uint32_t request, EndAction action, bool force, Message& out) {
  out.Begin(Type::kShutdown, request);
  out.AddU64(kAction, static_cast<uint64_t>(action));
  out.AddU64(kForce, force);
}

void EncodeState(uint32_t request, const ServiceState& state, Message& out) {
  out.Begin(Type::kState, request);
  out.AddBytes(kStateName, state.name);
  out.AddU64(kStateState, static_cast<uint64_t>(state.state));
  out.AddU64(kStateDesiredUp, state.desired_up);
  out.AddU64(kStatePid, static_cast<uint64_t>(state.pid));
  out.AddU64(kStateStarts, state.starts);
  out.AddU64(kStateStarted, state.started_ns);
  out.AddU64(kStateNextStart, state.next_start_ns);
  out.AddU64(kStateExitKind, static_cast<uint64_t>(state.exit_kind));
  out.AddU64(kStateExitValue, static_cast<uint64_t>(state.exit_value));
  out.AddU64(kStateFailedStep, static_cast<uint64_t>(state.failed_step));
  out.AddU64(kStateSpecHash, state.spec_hash);
  out.AddU64(kStateDropped, state.dropped_log_bytes);
}

void EncodePhase(uint32_t request, const Phase& phase, Message& out) {
  out.Begin(Type::kPhase, request);
  out.AddBytes(kPhaseName, phase.name);
  out.AddU64(kPhaseByMachined, phase.by_machined);
  out.AddU64(kPhaseState, phase.state);
  out.AddU64(kPhaseStart, phase.start_ns);
  out.AddU64(kPhaseEnd, phase.end_ns);
  out.AddU64(kPhaseDeadline, phase.deadline_ms);
  out.AddBytes(kPhaseMessage, absl::string_view(phase.message).substr(0, kMaxText));
}

absl::StatusOr<Header> DecodeHeader(absl::Span<const uint8_t> packet) {
  if (packet.size() < kHeaderSize) return Bad("truncated in the header");
  if (packet.size() > kMaxMessage) return Bad("longer than a message may be");
  Header header;
  uint16_t type = 0;
  memcpy(&header.version, &packet[0], sizeof header.version);
  memcpy(&type, &packet[2], sizeof type);
  memcpy(&header.request, &packet[4], sizeof header.request);
  header.type = static_cast<Type>(type);
  if (header.version != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("protocol version ", header.version, ", ours is ", kVersion));
  }
  if (type < static_cast<uint16_t>(Type::kHello) || type > static_cast<uint16_t>(Type::kKill)) {
    return Bad(absl::StrCat("unknown message type ", type));
  }
  return header;
}

absl::StatusOr<Reply> DecodeReply(absl::Span<const uint8_t> packet) {
  Reply reply;
  bool has_error = false;
  RETURN_IF_ERROR(ForEachField(packet, Type::kReply, [&](const Field& field) -> absl::Status {
    switch (field.tag) {
      case kReplyError:
        has_error = true;
        return Store(field, 4095, reply.error);
      case kReplyText:
        return StoreText(field, kMaxText, reply.text);
      default:
        return Unknown(field);
    }
  }));
  if (!has_error) return Bad("a reply without a result");
  return reply;
}

absl::StatusOr<ServiceSpec> DecodeDefine(absl::Span<const uint8_t> packet) {
  ServiceSpec spec;
  RETURN_IF_ERROR(ForEachField(packet, Type::kDefine, [&](const Field& field) { return StoreSpecField(field, spec); }));
  RETURN_IF_ERROR(CheckSpec(spec));
  return spec;
}

absl::StatusOr<std::string> DecodeName(absl::Span<const uint8_t> packet) {
  ASSIGN_OR_RETURN(Header header, DecodeHeader(packet));
  switch (header.type) {
    case Type::kRemove:
    case Type::kStart:
    case Type::kStop:
    case Type::kRestart:
    case Type::kKill:
      break;
    default:
      return Bad("another type of message than expected");
  }
  std::string name;
  RETURN_IF_ERROR(ForEachField(packet, header.type, [&](const Field& field) {
    return field.tag == kName ? StoreText(field, kMaxName, name) : Unknown(field);
  }));
  if (!IsServiceName(name)) return Bad("a service's name is [a-z0-9-]{1,32}");
  return name;
}

absl::StatusOr<Shutdown> DecodeShutdown(absl::Span<const uint8_t> packet) {
  Shutdown shutdown;
  bool has_action = false;
  RETURN_IF_ERROR(ForEachField(packet, Type::kShutdown, [&](const Field& field) -> absl::Status {
    switch (field.tag) {
      case kAction:
        has_action = true;
        return Store(field, static_cast<uint64_t>(EndAction::kKexec), shutdown.action);
      case kForce:
        return Store(field, 1, shutdown.force);
      default:
        return Unknown(field);
    }
  }));
  if (!has_action) return Bad("a shutdown without an action");
  return shutdown;
}

absl::Status DecodeTrialOver(absl::Span<const uint8_t> packet) {
  return ForEachField(packet, Type::kTrialOver, Unknown);
}

absl::StatusOr<ServiceState> DecodeState(absl::Span<const uint8_t> packet) {
  ServiceState state;
  RETURN_IF_ERROR(ForEachField(packet, Type::kState, [&](const Field& field) -> absl::Status {
    switch (field.tag) {
      case kStateName:
        return StoreText(field, kMaxName, state.name);
      case kStateState:
        return Store(field, static_cast<uint64_t>(RunState::kFinished), state.state);
      case kStateDesiredUp:
        return Store(field, 1, state.desired_up);
      case kStatePid:
        return Store(field, INT32_MAX, state.pid);
      case kStateStarts:
        return Store(field, UINT32_MAX, state.starts);
      case kStateStarted:
        return Store(field, UINT64_MAX, state.started_ns);
      case kStateNextStart:
        return Store(field, UINT64_MAX, state.next_start_ns);
      case kStateExitKind:
        return Store(field, static_cast<uint64_t>(ExitKind::kSpawnFailed), state.exit_kind);
      case kStateExitValue:
        return Store(field, INT32_MAX, state.exit_value);
      case kStateFailedStep:
        return Store(field, static_cast<uint64_t>(SpawnStep::kExec), state.failed_step);
      case kStateSpecHash:
        return Store(field, UINT64_MAX, state.spec_hash);
      case kStateDropped:
        return Store(field, UINT64_MAX, state.dropped_log_bytes);
      default:
        return Unknown(field);
    }
  }));
  if (!IsServiceName(state.name)) return Bad("a state without its service");
  return state;
}

absl::StatusOr<Phase> DecodePhase(absl::Span<const uint8_t> packet) {
  Phase phase;
  RETURN_IF_ERROR(ForEachField(packet, Type::kPhase, [&](const Field& field) -> absl::Status {
    switch (field.tag) {
      case kPhaseName:
        return StoreText(field, kMaxName, phase.name);
      case kPhaseByMachined:
        return Store(field, 1, phase.by_machined);
      case kPhaseState:
        return Store(field, 5, phase.state);  // the last of stele.resource.v1.PhaseState
      case kPhaseStart:
        return Store(field, UINT64_MAX, phase.start_ns);
      case kPhaseEnd:
        return Store(field, UINT64_MAX, phase.end_ns);
      case kPhaseDeadline:
        return Store(field, UINT64_MAX, phase.deadline_ms);
      case kPhaseMessage:
        return StoreText(field, kMaxText, phase.message);
      default:
        return Unknown(field);
    }
  }));
  if (!IsServiceName(phase.name)) return Bad("a phase's name is [a-z0-9-]{1,32}");
  return phase;
}

uint64_t SpecHash(const ServiceSpec& spec) {
  Message message;
  EncodeDefine(0, spec, message);
  uint64_t hash = 14695981039346656037u;
  for (uint8_t byte : message.bytes()) hash = (hash ^ byte) * 1099511628211u;
  return hash;
}

}  // namespace stele::init_protocol
