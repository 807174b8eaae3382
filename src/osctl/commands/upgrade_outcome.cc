// How an upgrade or a rollback ends: the node carries it through, we only look.
#include "absl/strings/str_join.h"
#include "osctl/client/await_boot.h"
#include "osctl/commands/upgrade.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

using stele::resource::v1::Slot;
using stele::resource::v1::Upgrade;

constexpr absl::string_view kLookAtSlots = "`osctl get slots` shows what is on the disk";

std::string WithReason(absl::string_view text, const std::string& reason) {
  return absl::StrCat(text, reason.empty() ? "" : ": ", reason);
}

// What stays the same of an answer of --wait-timeout: the node is not waiting for us.
absl::Status GoesOn(const absl::Status& status) {
  if (!absl::IsDeadlineExceeded(status)) return status;
  return Failure(absl::StatusCode::kDeadlineExceeded, ExitCode::kUnreachable, status.message(),
                 "the node goes on by itself: `osctl upgrade status --wait`");
}

// One node's upgrade as it goes on; says each new thing once.
class Watcher {
 public:
  Watcher(Node& node, Session& session, Progress& progress, std::string version)
      : node_(node), session_(session), progress_(progress), version_(std::move(version)) {}

  absl::StatusOr<bool> Look() {
    ASSIGN_OR_RETURN(Upgrade upgrade, CurrentUpgrade(node_));
    // A machined that has just started has not read yet what is on the disk.
    if (upgrade.state() <= stele::resource::v1::UPGRADE_STATE_NONE) return absl::UnavailableError(Describe(upgrade));
    if (upgrade.version() != version_) {
      return Failure(absl::StatusCode::kAborted, ExitCode::kFailed,
                     absl::StrCat("another upgrade took the place of ", version_, ": ", Describe(upgrade)),
                     kLookAtSlots);
    }
    switch (upgrade.state()) {
      case stele::resource::v1::UPGRADE_STATE_GOOD:
        return true;
      case stele::resource::v1::UPGRADE_STATE_STAGED:
        // An activation that ends here again has failed; before one, somebody may still ask for it.
        if (!activated_) {
          Say(Describe(upgrade));
          return false;
        }
        [[fallthrough]];
      case stele::resource::v1::UPGRADE_STATE_FAILED:
      case stele::resource::v1::UPGRADE_STATE_CANCELLED:
        return Failure(absl::StatusCode::kAborted, ExitCode::kFailed, Describe(upgrade), kLookAtSlots);
      case stele::resource::v1::UPGRADE_STATE_TRIAL:
        Trial(upgrade);
        return false;
      default:
        activated_ = upgrade.state() == stele::resource::v1::UPGRADE_STATE_ACTIVATED ||
                     upgrade.state() == stele::resource::v1::UPGRADE_STATE_DRAINING;
        Say(Describe(upgrade));
        return false;
    }
  }

 private:
  void Trial(const Upgrade& upgrade) {
    if (!told_trial_) session_.Tell(node_, absl::StrCat(version_, " runs on trial"));
    if (!told_trial_ && upgrade.manual()) session_.Tell(node_, "its trial needs an `osctl upgrade confirm`");
    told_trial_ = true;
    Say(WithReason("on trial", upgrade.message()));
  }
  void Say(absl::string_view text) { progress_.Say(session_.Label(node_), text); }

  Node& node_;
  Session& session_;
  Progress& progress_;
  std::string version_;
  bool activated_ = false;  // or about to be
  bool told_trial_ = false;
};

absl::StatusOr<std::vector<Slot>> Slots(Node& node) {
  stele::machine::v1::ListRequest request;
  request.set_type("slots");
  ASSIGN_OR_RETURN(auto list, node.Call(method::kList, request));
  std::vector<Slot> slots;
  for (const auto& resource : list.resources()) {
    if (!resource.body().UnpackTo(&slots.emplace_back())) return absl::InternalError("a slot that is no Slot message");
  }
  return slots;
}

// True: `version` runs and is good. UNAVAILABLE: not yet known.
absl::StatusOr<bool> RunsWell(const std::vector<Slot>& slots, const std::string& version,
                              const std::function<void(absl::string_view)>& say) {
  const Slot* running = nullptr;
  std::string reason;
  for (const Slot& slot : slots) {
    if (slot.running()) running = &slot;
    if (!slot.running() && slot.version() == version) reason = slot.message();
  }
  if (running == nullptr) return absl::UnavailableError("no slot is known to run yet");
  if (running->version() == version) {
    if (running->state() == stele::resource::v1::SLOT_STATE_TRIAL) say(WithReason("on trial", running->message()));
    return running->state() == stele::resource::v1::SLOT_STATE_GOOD;
  }
  if (running->state() != stele::resource::v1::SLOT_STATE_GOOD) return false;
  return Failure(absl::StatusCode::kAborted, ExitCode::kFailed,
                 WithReason(absl::StrCat(running->version(), " runs, and not ", version), reason), kLookAtSlots);
}

}  // namespace

absl::StatusOr<Upgrade> CurrentUpgrade(Node& node) {
  stele::machine::v1::GetRequest request;
  request.set_type("upgrades");
  request.set_id("current");
  auto response = node.Call(method::kGet, request);
  if (absl::IsNotFound(response.status())) return absl::UnavailableError(response.status().message());
  RETURN_IF_ERROR(response.status());
  Upgrade upgrade;
  if (!response->resource().body().UnpackTo(&upgrade)) return absl::InternalError("the upgrade is no Upgrade message");
  return upgrade;
}

std::string Describe(const Upgrade& upgrade) {
  const std::string& version = upgrade.version();
  std::string from = upgrade.from_version().empty() ? "" : absl::StrCat(", from ", upgrade.from_version());
  std::string by;
  if (upgrade.has_deadline()) by = Rfc3339(absl::FromUnixSeconds(upgrade.deadline().seconds()));
  auto until = [&](absl::string_view word) { return by.empty() ? "" : absl::StrCat(", ", word, " ", by); };
  switch (upgrade.state()) {
    case stele::resource::v1::UPGRADE_STATE_DRAINING:
      return WithReason(absl::StrCat("the node is drained for ", version, until("at most until")), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_STAGING:
      if (version.empty()) return WithReason("an image is being staged", upgrade.message());
      return WithReason(absl::StrCat(version, " is being staged, ", HumanBytes(upgrade.bytes_done()), " of ",
                                     HumanBytes(upgrade.bytes_total())),
                        upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_STAGED:
      return WithReason(absl::StrCat(version, " is staged", from), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_PLANNED:
      return WithReason(absl::StrCat(version, " is staged and will be activated", until("at"), from),
                        upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_ACTIVATED:
      return WithReason(absl::StrCat(version, " is activated: the next boot tries it", from), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_TRIAL:
      return WithReason(absl::StrCat(version, " is on trial", from, until("until")), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_GOOD:
      return WithReason(absl::StrCat(version, " runs and is good", from), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_FAILED:
      return WithReason(absl::StrCat("the upgrade to ", version, " failed; ", upgrade.from_version(), " runs again"),
                        upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_CANCELLED:
      return WithReason(absl::StrCat("the upgrade to ", version, " was cancelled"), upgrade.message());
    case stele::resource::v1::UPGRADE_STATE_NONE:
      return "no upgrade since the node was installed";
    default:
      return absl::StrCat("an upgrade to ", version, " in a state that this osctl does not know");
  }
}

absl::Status AwaitUpgrade(Node& node, Session& session, Progress& progress, const std::string& version,
                          absl::Duration patience) {
  Watcher watcher(node, session, progress, version);
  absl::Status status = AwaitNode(node, patience, "known to be good", [&](const auto&) { return watcher.Look(); });
  progress.End(session.Label(node));
  return GoesOn(status);
}

absl::Status AwaitRollback(Node& node, Session& session, Progress& progress, const std::string& version,
                           const std::string& old_boot, absl::Duration patience) {
  auto say = [&](absl::string_view text) { progress.Say(session.Label(node), text); };
  say("reboots");
  absl::Status status = AwaitNode(node, patience, "known to be good", [&](const auto& answer) -> absl::StatusOr<bool> {
    if (answer.boot_id() == old_boot) return absl::UnavailableError("still the same boot");
    ASSIGN_OR_RETURN(std::vector<Slot> slots, Slots(node));
    return RunsWell(slots, version, say);
  });
  progress.End(session.Label(node));
  return GoesOn(status);
}

}  // namespace stele::osctl
