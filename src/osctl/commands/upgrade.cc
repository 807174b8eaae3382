// osctl upgrade: stage, activate, wait for the trial's end. And its parts: confirm, cancel, status.
#include "osctl/commands/upgrade.h"

#include <memory>
#include <optional>

#include "absl/time/clock.h"
#include "base/file.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/failure.h"
#include "osctl/interrupt.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ActivateImageRequest;
using stele::resource::v1::Upgrade;
using stele::resource::v1::UpgradeState;

constexpr char kStagingText[] =
    "Nothing was activated yet: what is sent by now stays, and the next `osctl upgrade` goes on there. Ctrl-C again "
    "ends "
    "this one.";
constexpr char kFetchingText[] =
    "Nodes that were told the URL fetch on by themselves, also without osctl: `osctl upgrade status` looks on, `osctl "
    "upgrade cancel` ends it. Nothing is activated. Ctrl-C again ends the looking on.";
constexpr char kGoesOnText[] =
    "Nodes that were told to activate go on by themselves, also without osctl: `osctl upgrade status --wait` looks on. "
    "Ctrl-C again ends the waiting.";

struct Options {
  std::string image;
  std::string url;
  std::string ca;
  bool stage_only = false;
  bool activate_only = false;
  std::string at;
  std::string confirm;
  bool force = false;
  bool dry_run = false;
  bool no_wait = false;
  bool yes = false;
  absl::Duration wait_timeout = kUpgradePatience;
  uint32_t parallel = 4;
};

// What the nodes' threads share.
struct Run {
  Session& session;
  const Options& options;
  std::optional<image_file::Reader> image;
  stele::machine::v1::FetchImageRequest fetch;  // where there is a URL
  std::optional<absl::Time> at;
  Progress progress;
  Interrupt interrupt;
};

absl::Status CheckOptions(const Options& options) {
  bool from_url = !options.url.empty();
  if (options.image.empty() && !from_url && !options.activate_only) {
    return UsageError("--image or --url is required",
                      "name an image file, a URL, or --activate-only for one that is staged already");
  }
  if (!options.image.empty() && from_url) return UsageError("--image and --url exclude each other");
  if (options.activate_only && !options.image.empty()) return UsageError("--activate-only takes no --image");
  if (options.activate_only && from_url) return UsageError("--activate-only takes no --url");
  if (!options.ca.empty() && !from_url) return UsageError("--ca is for the server of a --url");
  if (options.activate_only && options.stage_only)
    return UsageError("--stage-only and --activate-only exclude each other");
  if (options.activate_only && options.force) return UsageError("--force is for staging, not for --activate-only");
  if (options.stage_only && (!options.at.empty() || !options.confirm.empty() || options.no_wait)) {
    return UsageError("--at, --confirm and --no-wait are about activating, which --stage-only leaves out");
  }
  if (options.parallel == 0) return UsageError("--parallel is at least 1");
  return absl::OkStatus();
}

ActivateImageRequest ActivateRequest(const Run& run) {
  ActivateImageRequest request;
  request.set_validate_only(run.options.dry_run);
  if (run.options.confirm == "auto") request.set_confirm(stele::machine::v1::CONFIRM_MODE_AUTO);
  if (run.options.confirm == "manual") request.set_confirm(stele::machine::v1::CONFIRM_MODE_MANUAL);
  if (run.at.has_value()) {
    timespec time = absl::ToTimespec(*run.at);
    request.mutable_at()->set_seconds(time.tv_sec);
    request.mutable_at()->set_nanos(static_cast<int32_t>(time.tv_nsec));
  }
  return request;
}

// Whether the node took the request whose answer got lost. `before`: the upgrade when it was sent.
bool Activated(const Upgrade& before, const Upgrade& now) {
  bool beyond = now.state() >= stele::resource::v1::UPGRADE_STATE_PLANNED &&
                (now.state() <= stele::resource::v1::UPGRADE_STATE_FAILED ||
                 now.state() == stele::resource::v1::UPGRADE_STATE_DRAINING);
  return beyond && now.version() == before.version() && now.state() != before.state();
}

// Activates what is staged, once; the version. The node reads the image back first, which may take longer than the
// patience for an answer: then it is found at work on what it was asked.
absl::StatusOr<std::string> Activate(Node& node, Run& run) {
  absl::Time give_up = absl::Now() + run.session.follow_patience();
  absl::StatusOr<Upgrade> before = CurrentUpgrade(node);
  bool asked = false;
  while (true) {
    auto response = node.Call(method::kActivateImage, ActivateRequest(run));
    if (response.ok()) return response->version();
    bool lost = IsConnectionLoss(response.status()) || absl::IsDeadlineExceeded(response.status());
    bool at_work = asked && absl::IsResourceExhausted(response.status());
    if ((!lost && !at_work) || absl::Now() > give_up) return response.status();
    asked = true;
    absl::SleepFor(absl::Milliseconds(500));
    absl::StatusOr<Upgrade> now = CurrentUpgrade(node);
    if (before.ok() && now.ok() && Activated(*before, *now)) return now->version();
  }
}

absl::Status ActivateNode(Node& node, Run& run) {
  absl::Time began = absl::Now();
  ASSIGN_OR_RETURN(std::string version, Activate(node, run));
  if (run.options.dry_run) {
    run.session.Tell(node, absl::StrCat("would activate ", version, " and reboot"));
    return absl::OkStatus();
  }
  run.interrupt.set_text(kGoesOnText);
  if (run.at.has_value()) {
    run.session.Tell(
        node, absl::StrCat(version, " will be activated at ", Rfc3339(*run.at), "; `osctl upgrade cancel` drops it"));
    return absl::OkStatus();
  }
  absl::StatusOr<Upgrade> upgrade = CurrentUpgrade(node);
  bool drains = upgrade.ok() && upgrade->state() == stele::resource::v1::UPGRADE_STATE_DRAINING;
  run.session.Tell(node, drains ? Describe(*upgrade) : absl::StrCat("activated ", version, "; reboots"));
  if (run.options.no_wait) return absl::OkStatus();
  RETURN_IF_ERROR(AwaitUpgrade(node, run.session, run.progress, version, run.options.wait_timeout));
  run.session.Tell(node, absl::StrCat(version, " runs and is good, after ", HumanDuration(absl::Now() - began)));
  return absl::OkStatus();
}

absl::Status UpgradeNode(Node& node, Run& run) {
  if (run.image.has_value()) {
    StageOptions stage = {run.options.force, run.options.dry_run};
    RETURN_IF_ERROR(Annotate(StageImage(node, run.session, run.progress, *run.image, stage), "stage"));
  } else if (!run.options.url.empty()) {
    RETURN_IF_ERROR(Annotate(FetchImage(node, run.session, run.progress, run.fetch).status(), "stage"));
  }
  bool staged = !run.options.activate_only;
  if (staged && (run.options.stage_only || run.options.dry_run)) return absl::OkStatus();
  return Annotate(ActivateNode(node, run), "activate");
}

absl::Status ReadFetch(const Options& options, stele::machine::v1::FetchImageRequest* request) {
  request->set_url(options.url);
  request->set_force(options.force);
  request->set_validate_only(options.dry_run);
  if (options.ca.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> ca = ReadFile(options.ca, 64 * 1024);
  if (!ca.ok()) return WithExit(Annotate(ca.status(), "--ca"), ExitCode::kLocal);
  request->set_ca(*std::move(ca));
  return absl::OkStatus();
}

ExitCode UpgradeAll(Session& session, const Options& options) {
  if (absl::Status wrong = CheckOptions(options); !wrong.ok()) return session.Report("", wrong);
  const char* interrupted = options.url.empty() ? kStagingText : kFetchingText;
  Run run{session, options, {}, {}, {}, Progress(session.console()), Interrupt(session.console(), interrupted)};
  if (!options.at.empty()) {
    absl::StatusOr<absl::Time> at = ParseFutureTime(options.at, absl::Now());
    if (!at.ok()) return session.Report("", UsageError(absl::StrCat("--at: ", at.status().message())));
    run.at = *at;
  }
  std::string what = "activate the staged image of";
  if (!options.image.empty()) {
    // A file that no node would take is not worth a connection.
    absl::StatusOr<image_file::Reader> image = image_file::Reader::Open(options.image);
    if (!image.ok()) return session.Report("", WithExit(Annotate(image.status(), "upgrade"), ExitCode::kLocal));
    run.image = *std::move(image);
    what = absl::StrCat("upgrade to ", run.image->header().manifest.version(), " and reboot");
  }
  if (!options.url.empty()) {
    if (absl::Status read = ReadFetch(options, &run.fetch); !read.ok()) return session.Report("", read);
    what = "upgrade from the URL and reboot";
  }
  bool reboots = !options.stage_only && !options.dry_run && !options.yes;
  ExitCode code = ExitCode::kOk;
  if (!Confirmed(session, reboots ? Ask::kOnTerminal : Ask::kNo, what, &code)) return code;
  return session.ForEachNode("upgrade", options.parallel, [&](Node& node) { return UpgradeNode(node, run); });
}

Command ConfirmCommand() {
  Command command;
  command.name = "confirm";
  command.summary = "says that the image on trial is good";
  command.description = "For upgrades with --confirm manual. The node's own conditions have to hold as well.";
  command.run = [](Session& session) {
    return session.ForEachNode("upgrade confirm", [&](Node& node) -> absl::Status {
      ASSIGN_OR_RETURN(auto response, node.Call(method::kConfirmImage, {}));
      session.Tell(node, absl::StrCat("confirmed ", response.version()));
      return absl::OkStatus();
    });
  };
  return command;
}

Command CancelCommand() {
  Command command;
  command.name = "cancel";
  command.summary = "drops a staged image or a planned activation";
  command.run = [](Session& session) {
    return session.ForEachNode("upgrade cancel", [&](Node& node) -> absl::Status {
      ASSIGN_OR_RETURN(auto response, node.Call(method::kCancelUpgrade, {}));
      session.Tell(node, absl::StrCat("dropped ", response.version()));
      return absl::OkStatus();
    });
  };
  return command;
}

Command StatusCommand() {
  struct Wait {
    bool wait = false;
    absl::Duration timeout = kUpgradePatience;
  };
  auto options = std::make_shared<Wait>();
  Command command;
  command.name = "status";
  command.summary = "says how the upgrade under way fares, or how the last one ended";
  command.description = "`osctl get upgrades` and `osctl get slots` show the same as resources.";
  command.arguments = {
      {"--wait", "", "waits for its end; then the exit code says whether it is good", &options->wait},
      {"--wait-timeout", "DURATION", "for how long; default 45m", &options->timeout},
  };
  command.run = [options](Session& session) {
    Progress progress(session.console());
    return session.ForEachNode("upgrade status", [&](Node& node) -> absl::Status {
      ASSIGN_OR_RETURN(Upgrade upgrade, CurrentUpgrade(node));
      if (options->wait && upgrade.state() > stele::resource::v1::UPGRADE_STATE_NONE) {
        RETURN_IF_ERROR(AwaitUpgrade(node, session, progress, upgrade.version(), options->timeout));
        ASSIGN_OR_RETURN(upgrade, CurrentUpgrade(node));
      }
      session.console().Out(absl::StrCat(session.Prefix(node), Describe(upgrade), "\n"));
      return absl::OkStatus();
    });
  };
  return command;
}

std::vector<Argument> UpgradeArguments(Options* options) {
  std::vector<Argument> arguments = {
      {"--image", "FILE", "the Stele image file to upgrade to", &options->image, Presence::kOptional,
       Completion::kFile},
      {"--url", "URL", "has the node fetch the image file from there itself, by http or https", &options->url},
      {"--ca", "FILE", "CAs, PEM, that alone are trusted for an https URL; default: those of the node's image",
       &options->ca, Presence::kOptional, Completion::kFile},
      {"--stage-only", "", "writes it to the slot that does not run, and leaves it at that", &options->stage_only},
      {"--activate-only", "", "activates what is staged", &options->activate_only},
      {"--at", "TIME", "activates then: RFC 3339, or +DURATION from now; does not wait", &options->at},
      {"--confirm", "WHO",
       "auto: the node, when its conditions hold; manual: `osctl upgrade confirm` besides; default: as configured",
       &options->confirm},
      {"--force", "", "also an image that failed before, or one that may not follow what runs", &options->force},
      {"--dry-run", "", "only asks the node whether it would", &options->dry_run},
      {"--no-wait", "", "ends once it is activated", &options->no_wait},
      {"--wait-timeout", "DURATION", "how long to wait for the trial's end; default 45m", &options->wait_timeout},
      {"--parallel", "N", "nodes at a time; default 4; after a failure no other is begun", &options->parallel},
      {"-y,--yes", "", "does not ask on a terminal", &options->yes},
  };
  arguments[6].choices = {"auto", "manual"};
  return arguments;
}

}  // namespace

Command UpgradeCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "upgrade";
  command.summary = "brings an image onto the node, reboots into it, and waits until it is known to be good";
  command.description =
      "The node checks the image's signature and every byte, writes it to the slot that does not run, and tries it.\n"
      "When it does not get healthy in time, the version before comes back by itself, and the exit code is 1.\n"
      "After a lost connection the sending goes on where it stopped. A node that fetches the image from a URL needs\n"
      "nobody for that, nor one on which it is activated: `osctl upgrade status --wait` looks on.";
  command.arguments = UpgradeArguments(options.get());
  command.run = [options](Session& session) { return UpgradeAll(session, *options); };
  command.subcommands = {StatusCommand(), ConfirmCommand(), CancelCommand()};
  return command;
}

}  // namespace stele::osctl
