// osctl reboot.
#include <memory>

#include "absl/time/clock.h"
#include "osctl/client/await_boot.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

struct Options {
  EndOptions end;
  bool kexec = false;
  bool wait = false;
  absl::Duration wait_timeout = absl::Minutes(5);
};

absl::Status RebootNode(Node& node, Session& session, const Options& options) {
  std::string old_boot;
  if (options.wait && !options.end.dry_run) {
    ASSIGN_OR_RETURN(auto version, node.Call(method::kVersion, {}));
    old_boot = version.boot_id();
  }
  stele::machine::v1::RebootRequest request;
  request.set_force(options.end.force);
  request.set_kexec(options.kexec);
  request.set_validate_only(options.end.dry_run);
  absl::Time began = absl::Now();
  RETURN_IF_ERROR(node.Call(method::kReboot, request).status());
  if (options.end.dry_run) {
    session.Tell(node, options.kexec ? "would reboot by kexec" : "would reboot");
    return absl::OkStatus();
  }
  session.Tell(node, options.kexec ? "reboots by kexec" : "reboots");
  if (!options.wait) return absl::OkStatus();
  RETURN_IF_ERROR(AwaitNextBoot(node, old_boot, options.wait_timeout));
  session.Tell(node, absl::StrCat("is back after ", HumanDuration(absl::Now() - began)));
  return absl::OkStatus();
}

}  // namespace

Command RebootCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "reboot";
  command.summary = "stops everything in order and starts the machine anew";
  AddEndArguments(&options->end, &command.arguments);
  command.arguments.push_back({"--kexec", "",
                               "past firmware and boot loader, into the same image, where kernel and node allow it",
                               &options->kexec});
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
