#include "machined/boots/boots_controller.h"

#include <unistd.h>

#include <ctime>

#include "absl/time/clock.h"
#include "machined/boots/boot_logs.h"
#include "machined/boots/pstore.h"
#include "machined/log.h"
#include "machined/storage_layout.h"
#include "stele/resource/v1/node.pb.h"

namespace stele::machined {
namespace {

using init_protocol::EndAction;
using resource::v1::Boot;

constexpr absl::Duration kPatience = absl::Seconds(3), kForcedPatience = absl::Seconds(1);

resource::v1::BootEnd EndOf(EndAction action) {
  if (action == EndAction::kKexec) return resource::v1::BOOT_END_KEXEC;
  return action == EndAction::kReboot ? resource::v1::BOOT_END_REBOOT : resource::v1::BOOT_END_POWER_OFF;
}

}  // namespace

BootsController::BootsController(InitClient& init, Options options) : init_(init), options_(std::move(options)) {}

Boot BootsController::ThisBoot() const {
  Boot boot;
  timespec wall, since;
  ::clock_gettime(CLOCK_REALTIME, &wall);
  ::clock_gettime(CLOCK_BOOTTIME, &since);
  boot.mutable_started()->set_seconds(wall.tv_sec - since.tv_sec);
  boot.set_version(options_.version);
  boot.set_slot(options_.slot);
  boot.set_boot_id(options_.boot_id);
  return boot;
}

absl::Status BootsController::Start(Node& node) {
  RETURN_IF_ERROR(Controller::Start(node));
  shared_->history.Begin(ThisBoot(), {});
  Publish();
  return absl::OkStatus();
}

absl::Status BootsController::Reconcile() {
  const auto* state = node_->store().Find<resource::v1::Volume>(kStateLabel);
  if (step_ != Step::kWaiting || state == nullptr || !state->ready()) return absl::OkStatus();
  step_ = Step::kAtWork;
  auto begun = std::make_shared<Begun>();
  node_->loop().RunBlocking(
      [begun, shared = shared_, options = options_, boot = ThisBoot()] { Begin(options, boot, *shared, begun.get()); },
      [this, begun, alive = alive_] {
        if (*alive) OnBegun(*begun);
      });
  return absl::OkStatus();
}

void BootsController::Begin(const Options& options, const Boot& boot, Shared& shared, Begun* begun) {
  std::lock_guard<std::mutex> lock(shared.mutex);
  absl::StatusOr<BootHistory> history = BootHistory::Load(options.file);
  if (!history.ok()) {
    begun->status = history.status();
    if (history.status().code() != absl::StatusCode::kDataLoss) return;
    history = BootHistory();  // it cannot be read: what comes from now on is worth more
  }
  absl::StatusOr<PstoreRecords> records = ReadPstore(options.pstore);
  if (!records.ok()) begun->status = records.status();
  EndEvidence evidence = {.kernel_log = records.ok() ? records->text : "", .watchdog_reset = options.watchdog_reset};
  begun->before = history->Begin(boot, evidence);
  absl::Status saved = history->Save(options.file);
  // Only what is on the disk may go from the firmware.
  if (saved.ok() && records.ok()) saved = ErasePstore(*records);
  if (!saved.ok()) begun->status = saved;
  const auto& boots = history->boots();
  bool has_before = boots.size() > 1;
  ForgetBootLogs(options.boot_logs, options.boot_id, has_before ? std::next(boots.rbegin())->second.boot_id() : "");
  shared.history = *std::move(history);
  shared.begun = true;
}

void BootsController::OnBegun(const Begun& begun) {
  step_ = Step::kDone;
  Publish();
  if (!begun.status.ok()) {
    node_->Emit("boot", "history", begun.status.message(), machine::v1::SEVERITY_WARNING);
  }
  if (!begun.before.has_value()) return;
  const Boot& boot = *begun.before;
  bool asked = boot.end() == resource::v1::BOOT_END_REBOOT || boot.end() == resource::v1::BOOT_END_POWER_OFF ||
               boot.end() == resource::v1::BOOT_END_KEXEC;
  node_->Emit("boot", "previous",
              absl::StrCat("the boot before (", boot.version(), boot.slot().empty() ? "" : ", slot ", boot.slot(),
                           ") ended: ", EndText(boot.end()), ", ", boot.reason()),
              asked ? machine::v1::SEVERITY_INFO : machine::v1::SEVERITY_WARNING);
}

void BootsController::WriteEnd(resource::v1::BootEnd end, const std::string& reason, std::function<void()> done) {
  node_->loop().RunBlocking(
      [shared = shared_, options = options_, end, reason] {
        std::lock_guard<std::mutex> lock(shared->mutex);
        shared->history.End(end, reason, absl::ToUnixSeconds(absl::Now()));
        if (!shared->begun) return;  // no partition to keep it on
        absl::Status saved = shared->history.Save(options.file);
        if (!saved.ok()) Log("error: write down why the machine ends: ", saved.message());
        // Behind what matters more: these are lost without harm.
        if (end == resource::v1::BOOT_END_RUNNING || !saved.ok()) return;
        absl::Status logs = SaveBootLogs(options.logs, options.boot_logs, options.boot_id);
        if (!logs.ok()) Log("warning: keep the logs of this boot: ", logs.message());
      },
      std::move(done));
}

void BootsController::EndMachine(EndAction action, bool force, const std::string& reason, InitClient::Done done) {
  // Whichever comes first: written, or out of patience.
  auto told = std::make_shared<bool>(false);
  auto tell = [this, told, alive = alive_, action, force, done = std::move(done)] {
    if (!*alive || std::exchange(*told, true)) return;
    init_.Shutdown(action, force, [this, alive, done](const absl::Status& status) {
      // Refused: then this boot goes on.
      if (*alive && !status.ok()) WriteEnd(resource::v1::BOOT_END_RUNNING, "", [] {});
      done(status);
    });
  };
  WriteEnd(EndOf(action), reason, tell);
  node_->loop().After(force ? kForcedPatience : kPatience, tell);
}

void BootsController::Publish() {
  std::map<std::string, Boot> boots;
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    for (const auto& [number, boot] : shared_->history.boots()) boots[absl::StrCat(number)] = boot;
  }
  if (absl::Status status = node_->store().Replace(name(), boots); !status.ok()) Log("error: ", status.message());
}

}  // namespace stele::machined
