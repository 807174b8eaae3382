// osctl rollback.
#include <algorithm>
#include <memory>

#include "absl/time/clock.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/commands/upgrade.h"
#include "osctl/interrupt.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

constexpr char kGoesOnText[] = "The node goes back by itself, also without osctl. Ctrl-C again ends the waiting.";

struct Options {
  bool dry_run = false;
  bool no_wait = false;
  bool yes = false;
  absl::Duration wait_timeout = kUpgradePatience;
};

absl::Status RollbackNode(Node& node, Session& session, Progress& progress, const Options& options) {
  ASSIGN_OR_RETURN(auto before, node.Call(method::kVersion, {}));
  absl::Time began = absl::Now();
  stele::machine::v1::RollbackImageRequest request;
  request.set_validate_only(options.dry_run);
  // The node reads the other image back before it answers: more than an answer usually takes.
  node.set_timeout(std::max(session.call_timeout(), session.follow_patience()));
  ASSIGN_OR_RETURN(auto response, node.Call(method::kRollbackImage, request));
  node.set_timeout(session.call_timeout());
  if (options.dry_run) {
    session.Tell(node, absl::StrCat("would go back to ", response.version(), " and reboot"));
    return absl::OkStatus();
  }
  session.Tell(node, absl::StrCat("goes back to ", response.version(), "; reboots"));
  if (options.no_wait) return absl::OkStatus();
  RETURN_IF_ERROR(AwaitRollback(node, session, progress, response.version(), before.boot_id(), options.wait_timeout));
  session.Tell(node, absl::StrCat(response.version(), " runs and is good, after ", HumanDuration(absl::Now() - began)));
  return absl::OkStatus();
}

}  // namespace

Command RollbackCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "rollback";
  command.summary = "goes back to the image before, and waits until it is known to be good";
  command.description =
      "While an image is on trial: ends the trial. Otherwise: activates the other slot's image, which is then on\n"
      "trial itself, as after an upgrade. `osctl get slots` shows what there is to go back to.";
  command.arguments = {
      {"--dry-run", "", "only asks the node whether it would, and to which version", &options->dry_run},
      {"--no-wait", "", "ends once the node was told", &options->no_wait},
      {"--wait-timeout", "DURATION", "how long to wait; default 45m", &options->wait_timeout},
      {"-y,--yes", "", "does not ask on a terminal", &options->yes},
  };
  command.run = [options](Session& session) {
    ExitCode code = ExitCode::kOk;
    Ask ask = options->yes || options->dry_run ? Ask::kNo : Ask::kOnTerminal;
    if (!Confirmed(session, ask, "roll back and reboot", &code)) return code;
    Progress progress(session.console());
    Interrupt interrupt(session.console(), kGoesOnText);
    return session.ForEachNode("rollback", [&](Node& node) { return RollbackNode(node, session, progress, *options); });
  };
  return command;
}

}  // namespace stele::osctl
