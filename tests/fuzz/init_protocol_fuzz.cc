// Any bytes as a packet of init's control protocol: refused, or decoded within every bound, and then
// encoded and decoded again to the same.
#include <cstdint>
#include <cstdlib>

#include "base/init_protocol.h"

namespace {

using namespace stele::init_protocol;

void Check(bool holds) {
  if (!holds) std::abort();
}

void CheckDefine(absl::Span<const uint8_t> packet) {
  absl::StatusOr<stele::ServiceSpec> spec = DecodeDefine(packet);
  if (!spec.ok()) return;
  Check(!spec->name.empty() && spec->name.size() <= 32 && spec->name.find('/') == std::string::npos);
  Check(!spec->argv.empty() && spec->argv.size() <= 64 && spec->argv[0][0] == '/');
  for (const std::string& argument : spec->argv) Check(argument.find('\0') == std::string::npos);
  Check(spec->cgroup.empty() || spec->cgroup[0] != '/');
  Check((spec->cgroup + "/").find("../") == std::string::npos || spec->cgroup.find("..") != 0);
  Message message;
  EncodeDefine(1, *spec, message);
  // What came in a packet fits one again, unless it left out what we write always.
  if (!message.ok()) return;
  absl::StatusOr<stele::ServiceSpec> again = DecodeDefine(message.bytes());
  Check(again.ok() && SpecHash(*again) == SpecHash(*spec));
}

void CheckState(absl::Span<const uint8_t> packet) {
  absl::StatusOr<ServiceState> state = DecodeState(packet);
  if (!state.ok()) return;
  Message message;
  EncodeState(1, *state, message);
  absl::StatusOr<ServiceState> again = DecodeState(message.bytes());
  Check(again.ok() && again->name == state->name && again->exit_value == state->exit_value);
  Check(!SpawnStepName(state->failed_step).empty() && SpawnStepName(state->failed_step) != "unknown");
}

void CheckPhase(absl::Span<const uint8_t> packet) {
  absl::StatusOr<Phase> phase = DecodePhase(packet);
  if (!phase.ok()) return;
  Message message;
  EncodePhase(1, *phase, message);
  absl::StatusOr<Phase> again = DecodePhase(message.bytes());
  Check(again.ok() && again->name == phase->name && again->message == phase->message);
}

void CheckTrialOver(absl::Span<const uint8_t> packet) {
  if (!DecodeTrialOver(packet).ok()) return;
  Message message;
  EncodeTrialOver(DecodeHeader(packet)->request, message);
  Check(packet == message.bytes());  // it has no fields
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  absl::Span<const uint8_t> packet(data, size);
  CheckDefine(packet);
  CheckState(packet);
  CheckPhase(packet);
  CheckTrialOver(packet);
  DecodeHeader(packet).IgnoreError();
  DecodeReply(packet).IgnoreError();
  DecodeName(packet).IgnoreError();
  DecodeShutdown(packet).IgnoreError();
  return 0;
}
