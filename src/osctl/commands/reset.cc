// osctl reset: the node forgets what it keeps.
#include <memory>

#include "absl/time/clock.h"
#include "osctl/client/await_boot.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/output/progress.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ResetRequest;

struct Options {
  bool state = false;
  bool data = false;
  std::vector<std::string> keep;
  bool thorough = false;
  bool power_off = false;
  bool dry_run = false;
  bool yes = false;
  bool wait = false;
  absl::Duration wait_timeout = absl::Minutes(15);
};

absl::Status CheckOptions(const Options& options) {
  if (!options.state && !options.data) return UsageError("nothing to reset", "say --state, --data or both");
  if (!options.keep.empty() && !options.data) return UsageError("--keep is about what --data would wipe");
  if (options.keep.size() > 16) return UsageError("--keep may be given 16 times at most");
  if (options.wait && options.power_off)
    return UsageError("nobody comes back after --power-off: --wait would be for ever");
  return absl::OkStatus();
}

ResetRequest RequestOf(const Options& options) {
  ResetRequest request;
  request.set_state(options.state);
  request.set_data(options.data);
  for (const std::string& path : options.keep) request.add_keep(path);
  request.set_thorough(options.thorough);
  request.set_then(options.power_off ? stele::machine::v1::RESET_END_POWER_OFF : stele::machine::v1::RESET_END_REBOOT);
  return request;
}

absl::Status PlanNode(Node& node, Session& session, ResetRequest request) {
  request.set_validate_only(true);
  ASSIGN_OR_RETURN(auto response, node.Call(method::kReset, request));
  std::string text;
  for (const std::string& line : response.plan()) absl::StrAppend(&text, session.Prefix(node), line, "\n");
  session.console().Out(text);
  return absl::OkStatus();
}

absl::Status ResetNode(Node& node, Session& session, Progress& progress, const Options& options) {
  ASSIGN_OR_RETURN(auto before, node.Call(method::kVersion, {}));
  absl::Time began = absl::Now();
  RETURN_IF_ERROR(node.Call(method::kReset, RequestOf(options)).status());
  session.Tell(node, options.power_off ? "resets and powers off" : "resets and reboots");
  if (!options.wait) return absl::OkStatus();
  std::string name = session.Label(node);
  progress.Say(name, "resets");
  absl::Status back = AwaitNextBoot(node, before.boot_id(), options.wait_timeout);
  progress.End(name);
  // Its identity is part of the state: what answers with other keys is the node, after its reset.
  bool other_keys = options.state && ExitCodeOf(back) == ExitCode::kAuthentication;
  if (!other_keys) RETURN_IF_ERROR(back);
  session.Tell(node, absl::StrCat("is back after ", HumanDuration(absl::Now() - began),
                                  other_keys ? ", with other keys: it waits for a configuration" : ""));
  return absl::OkStatus();
}

ExitCode Reset(Session& session, const Options& options) {
  if (absl::Status wrong = CheckOptions(options); !wrong.ok()) return session.Report("", wrong);
  ResetRequest request = RequestOf(options);
  ExitCode code = session.ForEachNode("reset", [&](Node& node) { return PlanNode(node, session, request); });
  if (code != ExitCode::kOk || options.dry_run) return code;
  if (!ConfirmedOrTold(session, options.yes, "wipe that, on", &code)) return code;
  Progress progress(session.console());
  return session.ForEachNode("reset", [&](Node& node) { return ResetNode(node, session, progress, options); });
}

}  // namespace

Command ResetCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "reset";
  command.summary = "wipes what the node keeps: its state, its data, or both";
  command.description =
      "Prints what would be wiped and asks; off a terminal it wants --yes. Once told, the node carries it through, "
      "also\n"
      "after a power cut in its middle. Without its state it forgets its configuration and its identity: where none "
      "comes\n"
      "by fw_cfg or with the image, nobody can reach it any more, and it is to be booted from a medium that has one.";
  command.arguments = {
      {"--state", "", "the configuration, the node's identity, its history", &options->state},
      {"--data", "", "all below /var: images, pods, logs", &options->data},
      {"--keep", "PATH", "below /var, such as lib/etcd: stays, with --data", &options->keep},
      {"--thorough", "", "overwrites or discards all of it, which may take long", &options->thorough},
      {"--power-off", "", "powers off afterwards; default: reboots", &options->power_off},
      {"--dry-run", "", "prints what would be wiped, and wipes nothing", &options->dry_run},
      {"--wait", "", "waits until the node is back", &options->wait},
      {"--wait-timeout", "DURATION", "for how long; default 15m", &options->wait_timeout},
      {"-y,--yes", "", "does not ask", &options->yes},
  };
  command.run = [options](Session& session) { return Reset(session, *options); };
  return command;
}

}  // namespace stele::osctl
