// The protocol between machined and init.
//
// machined's descriptor 3 is one end of a SOCK_SEQPACKET pair that init made. One packet is one
// message: a header, then fields, each a tag, a length and bytes, in host byte order. A packet is at
// most kMaxMessage bytes with at most kMaxFds descriptors (SCM_RIGHTS). Nothing in it is trusted:
// what is too long, truncated, of an unknown type or lacks a field is answered with an error or
// dropped, never read past its end. Both sides send Hello first; a version apart from ours ends the
// connection, and machined then exits with a message, since init cannot be replaced while it runs.
//
// machined asks (each answered by one Reply with the request's id, List by States before it):
//   Define   a service's spec; replaces an earlier one, takes effect at the service's next start
//   Remove   forget a stopped service
//   Start    desired state up; from stopped, finished or back-off it starts at once
//   Stop     desired state down: stop signal, deadline, KILL
//   Restart  stop, then start
//   Kill     SIGKILL to all of a service now; what is wanted of it stays
//   List     a State of every service, each with its log pipe
//   Shutdown end the machine
//   Phase    tell init of machined's phases, so that they outlive machined; init only stores them
//   TrialOver  the image that runs is good: init's own trial deadline is off. Also when there is no trial
// init tells, unasked:
//   State    a service changed; carries the read end of its log pipe the first time
//   Phase    a phase of init's began or ended
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/service_spec.h"

namespace stele::init_protocol {

inline constexpr uint16_t kVersion = 1;
inline constexpr size_t kMaxMessage = 16 * 1024;
inline constexpr size_t kMaxFds = 4;
inline constexpr size_t kMaxServices = 48;
inline constexpr size_t kMaxPhases = 64;
inline constexpr int kMachinedFd = 3;        // where machined finds its end
inline constexpr int kMachinedListenFd = 4;  // its API's listening socket; LISTEN_FDS counts both

enum class Type : uint16_t {
  kHello = 1,
  kReply = 2,
  kDefine = 3,
  kRemove = 4,
  kStart = 5,
  kStop = 6,
  kRestart = 7,
  kList = 8,
  kShutdown = 9,
  kPhase = 10,
  kState = 11,
  kTrialOver = 12,
  kKill = 13,
};

struct Header {
  uint16_t version = kVersion;
  Type type = Type::kHello;
  uint32_t request = 0;  // answers carry the id of what they answer; 0 for what init tells unasked
};

// What init does with a service.
enum class RunState : uint8_t {
  kStopped = 0,  // no process, none wanted
  kRunning,      // the process was made and exec'd
  kStopping,     // the stop signal was sent
  kBackoff,      // ended; the next start is at next_start_ms
  kFinished,     // ended as its policy allows, not to be started again
};

// How a service's last process ended.
enum class ExitKind : uint8_t { kNone = 0, kExited, kSignaled, kSpawnFailed };

// Steps of making a child, in order; a failure names the step and its errno.
enum class SpawnStep : uint8_t {
  kNone = 0,
  kPipe,
  kSocket,
  kCgroup,
  kJoin,
  kClone,
  kSession,
  kNamespaces,
  kMounts,
  kLimits,
  kOomScore,
  kDirectory,
  kCapabilities,
  kUser,
  kDescriptors,
  kExec,
};
absl::string_view SpawnStepName(SpawnStep step);

struct ServiceState {
  std::string name;
  RunState state = RunState::kStopped;
  bool desired_up = false;
  int32_t pid = 0;
  uint32_t starts = 0;
  uint64_t started_ns = 0;     // CLOCK_BOOTTIME of the last start
  uint64_t next_start_ns = 0;  // CLOCK_BOOTTIME, in kBackoff
  ExitKind exit_kind = ExitKind::kNone;
  int32_t exit_value = 0;  // exit code, signal, or errno
  SpawnStep failed_step = SpawnStep::kNone;
  uint64_t spec_hash = 0;          // of the encoded spec, to see whether a Define would change anything
  uint64_t dropped_log_bytes = 0;  // discarded because nobody read the pipe
};

// kKexec: a reboot into the kernel that was loaded (kexec_file_load); a plain one where there is none.
enum class EndAction : uint8_t { kReboot = 0, kPowerOff = 1, kHalt = 2, kKexec = 3 };

struct Phase {
  std::string name;
  bool by_machined = false;
  uint8_t state = 0;      // stele.resource.v1.PhaseState
  uint64_t start_ns = 0;  // CLOCK_BOOTTIME
  uint64_t end_ns = 0;    // 0 while it runs
  uint64_t deadline_ms = 0;
  std::string message;
};

// A service's and a phase's name is [a-z0-9-]{1,32}, not beginning with '-'. A spec holds at most 64
// arguments, 64 variables, 16 each of groups, limits, hidden paths and cgroup settings, 4 sockets.

// A message in its wire form. Encoding fails (ok() false) where a bound is crossed.
class Message {
 public:
  bool ok() const { return ok_; }
  absl::Span<const uint8_t> bytes() const { return {buffer_.data(), size_}; }

  void Begin(Type type, uint32_t request);
  void AddBytes(uint16_t tag, absl::string_view value);
  void AddU64(uint16_t tag, uint64_t value);

 private:
  std::array<uint8_t, kMaxMessage> buffer_;
  size_t size_ = 0;
  bool ok_ = true;
};

// Encoders; the caller gives the buffer, nothing is allocated.
void EncodeHello(Message& out);
void EncodeReply(uint32_t request, int error, absl::string_view text, Message& out);  // error: errno, 0 is done
void EncodeDefine(uint32_t request, const ServiceSpec& spec, Message& out);
void EncodeName(Type type, uint32_t request, absl::string_view name, Message& out);  // Remove Start Stop Restart Kill
void EncodeList(uint32_t request, Message& out);
void EncodeTrialOver(uint32_t request, Message& out);
void EncodeShutdown(uint32_t request, EndAction action, bool force, Message& out);
void EncodeState(uint32_t request, const ServiceState& state, Message& out);
void EncodePhase(uint32_t request, const Phase& phase, Message& out);

// Decoders. They check every bound and never read past the span.
absl::StatusOr<Header> DecodeHeader(absl::Span<const uint8_t> packet);
struct Reply {
  int error = 0;
  std::string text;
};
absl::StatusOr<Reply> DecodeReply(absl::Span<const uint8_t> packet);
absl::StatusOr<ServiceSpec> DecodeDefine(absl::Span<const uint8_t> packet);
absl::StatusOr<std::string> DecodeName(absl::Span<const uint8_t> packet);
struct Shutdown {
  EndAction action = EndAction::kReboot;
  bool force = false;
};
absl::StatusOr<Shutdown> DecodeShutdown(absl::Span<const uint8_t> packet);
absl::Status DecodeTrialOver(absl::Span<const uint8_t> packet);
absl::StatusOr<ServiceState> DecodeState(absl::Span<const uint8_t> packet);
absl::StatusOr<Phase> DecodePhase(absl::Span<const uint8_t> packet);

// FNV-1a of a spec's wire form: equal specs, equal hashes.
uint64_t SpecHash(const ServiceSpec& spec);

}  // namespace stele::init_protocol
