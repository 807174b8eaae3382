// osctl reboot.
#include <memory>

#include "absl/time/clock.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

struct Options {
  EndOptions end;
  bool wait = false;
  absl::Duration wait_timeout = absl::Minutes(5);
};

constexpr absl::Duration kProbeTimeout = absl::Seconds(3);
constexpr absl::Duration kProbePause = absl::Milliseconds(250);

// Until the node answers with another boot id.
absl::Status AwaitNextBoot(Node& node, const std::string& old_boot, absl::Duration patience) {
  absl::Time deadline = absl::Now() + patience;
  node.set_timeout(kProbeTimeout);
  absl::Status last;
  while (absl::Now() < deadline) {
    auto version = node.Call(method::kVersion, {});
    if (version.ok() && version->boot_id() != old_boot) return absl::OkStatus();
    last = version.status();
    // A node that comes back with other keys will not get better by waiting.
    if (ExitCodeOf(last) == ExitCode::kAuthentication) return last;
    absl::SleepFor(kProbePause);
  }
  return Failure(absl::StatusCode::kDeadlineExceeded, ExitCode::kUnreachable,
                 absl::StrCat("not back within ", HumanDuration(patience),
                              last.ok() ? ": still the same boot" : absl::StrCat(": ", last.message())),
                 "look at the node's console");
}

absl::Status RebootNode(Node& node, Session& session, const Options& options) {
  std::string old_boot;
  if (options.wait && !options.end.dry_run) {
    ASSIGN_OR_RETURN(auto version, node.Call(method::kVersion, {}));
    old_boot = version.boot_id();
  }
  stele::machine::v1::RebootRequest request;
  request.set_force(options.end.force);
  request.set_validate_only(options.end.dry_run);
  absl::Time began = absl::Now();
  RETURN_IF_ERROR(node.Call(method::kReboot, request).status());
  auto tell = [&](absl::string_view text) { session.console().Err(absl::StrCat(session.Prefix(node), text, "\n")); };
  if (options.end.dry_run) {
    tell("would reboot");
    return absl::OkStatus();
  }
  tell("reboots");
  if (!options.wait) return absl::OkStatus();
  RETURN_IF_ERROR(AwaitNextBoot(node, old_boot, options.wait_timeout));
  tell(absl::StrCat("is back after ", HumanDuration(absl::Now() - began)));
  return absl::OkStatus();
}

}  // namespace

Command RebootCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "reboot";
  command.summary = "stops everything in order and starts the machine anew";
  AddEndArguments(&options->end, &command.arguments);
  command.arguments.push_back({"--wait", "", "waits until the node is back", &options->wait});
  command.arguments.push_back({"--wait-timeout", "DURATION", "for how long; default 5m", &options->wait_timeout});
  command.run = [options](Session& session) {
    ExitCode code = ExitCode::kOk;
    if (!Confirmed(session, AskFor(options->end), "reboot", &code)) return code;
    return session.ForEachNode("reboot", [&](Node& node) { return RebootNode(node, session, *options); });
  };
  return command;
}

}  // namespace stele::osctl
