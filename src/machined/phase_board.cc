#include "machined/phase_board.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "machined/proto_time.h"
#include "machined/uptime.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {

using init_protocol::Phase;
using resource::v1::PhaseState;

namespace {

constexpr absl::Duration kLookAgain = absl::Milliseconds(500);

uint64_t BootTimeNs() { return static_cast<uint64_t>(absl::ToInt64Nanoseconds(Uptime())); }

bool IsOver(uint8_t state) {
  return state == resource::v1::PHASE_STATE_DONE || state == resource::v1::PHASE_STATE_FAILED ||
         state == resource::v1::PHASE_STATE_SKIPPED;
}

}  // namespace

void PhaseBoard::OnPhase(const Phase& phase) {
  for (Phase& known : phases_) {
    if (known.name != phase.name || known.by_machined != phase.by_machined) continue;
    // Ours are ours: init only gives back what an earlier machined told.
    if (!phase.by_machined || !listed_) known = phase;
    Wake();
    return;
  }
  phases_.push_back(phase);
  Wake();
}

void PhaseBoard::OnListed() {
  listed_ = true;
  Wake();
}

Phase& PhaseBoard::Find(const std::string& name) {
  for (Phase& phase : phases_) {
    if (phase.by_machined && phase.name == name) return phase;
  }
  phases_.push_back({.name = name, .by_machined = true, .state = resource::v1::PHASE_STATE_PENDING});
  return phases_.back();
}

bool PhaseBoard::IsThrough(const char* name) { return IsOver(Find(name).state); }

absl::Status PhaseBoard::Reconcile() {
  if (!listed_) return absl::OkStatus();
  for (const PhaseStep& step : steps_) Find(step.name);  // all are there before anybody points at one
  for (const PhaseStep& step : steps_) Advance(step);
  bool running = std::any_of(phases_.begin(), phases_.end(), [](const Phase& phase) {
    return phase.by_machined && phase.state == resource::v1::PHASE_STATE_RUNNING;
  });
  // Deadlines, and conditions that no resource tells of.
  if (running && look_again_ == 0) {
    look_again_ = node_->loop().After(kLookAgain, [this] {
      look_again_ = 0;
      Wake();
    });
  }
  return Publish();
}

void PhaseBoard::Advance(const PhaseStep& step) {
  Phase phase = Find(step.name);
  bool failed = phase.state == resource::v1::PHASE_STATE_FAILED;
  if (IsOver(phase.state) && !failed) return;
  uint64_t now = BootTimeNs();
  if (phase.state == resource::v1::PHASE_STATE_PENDING) {
    if (!std::all_of(step.after.begin(), step.after.end(), [this](const char* name) { return IsThrough(name); }))
      return;
    phase.state = resource::v1::PHASE_STATE_RUNNING;
    phase.start_ns = now;
    phase.deadline_ms = absl::ToInt64Milliseconds(step.deadline);
  }
  PhaseCheck check = step.check(*node_);
  switch (check.result) {
    case PhaseCheck::kDone:
      phase.state = resource::v1::PHASE_STATE_DONE;
      break;
    case PhaseCheck::kSkipped:
      phase.state = resource::v1::PHASE_STATE_SKIPPED;
      break;
    case PhaseCheck::kWaiting:
      if (!failed && now - phase.start_ns > phase.deadline_ms * 1'000'000)
        phase.state = resource::v1::PHASE_STATE_FAILED;
      break;
  }
  // A late end is an end, and tells how late.
  if (failed && phase.state == resource::v1::PHASE_STATE_DONE) check.message = "after its deadline";
  phase.message = check.message;
  if (IsOver(phase.state) && (phase.end_ns == 0 || failed)) phase.end_ns = now;
  Phase& kept = Find(step.name);
  if (kept.state == phase.state && kept.message == phase.message) return;
  bool changed = kept.state != phase.state;
  kept = phase;
  if (changed) Report(phase);
}

void PhaseBoard::Report(const Phase& phase) {
  init_.ReportPhase(phase);
  absl::Duration took = absl::Nanoseconds(phase.end_ns - phase.start_ns);
  switch (phase.state) {
    case resource::v1::PHASE_STATE_DONE:
      return node_->Emit("phase", phase.name,
                         absl::StrCat("done in ", absl::FormatDuration(absl::Trunc(took, absl::Milliseconds(1)))));
    case resource::v1::PHASE_STATE_SKIPPED:
      return node_->Emit("phase", phase.name, absl::StrCat("skipped: ", phase.message));
    case resource::v1::PHASE_STATE_FAILED:
      return node_->Emit("phase", phase.name,
                         absl::StrCat("not done within ", phase.deadline_ms / 1000, " s: ", phase.message),
                         machine::v1::SEVERITY_ERROR);
    default:
      return;
  }
}

absl::Status PhaseBoard::Publish() {
  std::map<std::string, resource::v1::Phase> shown;
  int position = 0;
  // init's of the boot, then ours as the table has them, then init's of the end: so an id stays with
  // its phase, whatever starts first.
  uint64_t ours_begin = UINT64_MAX;
  for (const PhaseStep& step : steps_) {
    if (uint64_t start = Find(step.name).start_ns; start != 0) ours_begin = std::min(ours_begin, start);
  }
  std::vector<const Phase*> ordered;
  for (const Phase& phase : phases_) {
    if (!phase.by_machined && phase.start_ns < ours_begin) ordered.push_back(&phase);
  }
  for (const PhaseStep& step : steps_) ordered.push_back(&Find(step.name));
  for (const Phase& phase : phases_) {
    if (!phase.by_machined && phase.start_ns >= ours_begin) ordered.push_back(&phase);
  }
  for (const Phase* phase : ordered) {
    resource::v1::Phase& out = shown[absl::StrFormat("%02d-%s", ++position, phase->name)];
    out.set_owner(phase->by_machined ? "machined" : "init");
    out.set_state(static_cast<PhaseState>(phase->state));
    if (phase->start_ns != 0) SetDuration(absl::Nanoseconds(phase->start_ns), out.mutable_start());
    // One that runs has no end yet, and is not rewritten every turn to say so.
    if (phase->end_ns >= phase->start_ns && phase->end_ns != 0)
      SetDuration(absl::Nanoseconds(phase->end_ns - phase->start_ns), out.mutable_duration());
    out.set_message(phase->message);
    if (phase->deadline_ms != 0) SetDuration(absl::Milliseconds(phase->deadline_ms), out.mutable_deadline());
  }
  return node_->store().Replace(name(), shown);
}

}  // namespace stele::machined
