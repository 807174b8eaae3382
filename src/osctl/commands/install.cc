// osctl install: puts the system that the node was booted from onto a disk.
#include <memory>

#include "absl/time/clock.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/failure.h"
#include "osctl/interrupt.h"
#include "osctl/output/humanize.h"
#include "osctl/output/progress.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::InstallRequest;
using stele::machine::v1::InstallResponse;

constexpr char kGoesOnText[] =
    "The node installs on by itself, also without osctl: `osctl events` tells how it ends. Ctrl-C again ends the "
    "waiting.";

constexpr char kAfterLoss[] = "the node installs on by itself: `osctl events` tells how it ends";

struct Options {
  std::string path, serial, model, wwid;
  uint32_t min_size = 0, max_size = 0;
  bool wipe = false;
  bool dry_run = false;
  bool reboot = false;
  bool power_off = false;
  bool yes = false;
};

InstallRequest RequestOf(const Options& options) {
  InstallRequest request;
  stele::config::v1::DiskSelector disk;
  disk.set_path(options.path);
  disk.set_serial(options.serial);
  disk.set_model(options.model);
  disk.set_wwid(options.wwid);
  disk.set_min_size(options.min_size);
  disk.set_max_size(options.max_size);
  // Nothing chosen: what the configuration says.
  if (disk.ByteSizeLong() > 0) *request.mutable_disk() = disk;
  request.set_wipe(options.wipe);
  if (options.reboot) request.set_then(stele::machine::v1::INSTALL_END_REBOOT);
  if (options.power_off) request.set_then(stele::machine::v1::INSTALL_END_POWER_OFF);
  return request;
}

std::string Doing(const std::string& step) {
  if (step == "wipe") return "wipes";
  if (step == "image") return "writes the image";
  if (step == "state") return "makes the state partition";
  if (step == "data") return "makes the data partition";
  if (step == "table") return "writes the partition table";
  if (step == "boot") return "makes it bootable";
  return step;
}

// The plan goes to stdout: it is what was asked for.
absl::Status PlanNode(Node& node, Session& session, InstallRequest request) {
  request.set_validate_only(true);
  return node.Stream<InstallRequest, InstallResponse>(method::kInstall, request, [&](const InstallResponse& response) {
    std::string text;
    for (const std::string& line : response.plan()) absl::StrAppend(&text, session.Prefix(node), line, "\n");
    session.console().Out(text);
    return absl::OkStatus();
  });
}

absl::Status InstallNode(Node& node, Session& session, Progress& progress, const InstallRequest& request) {
  std::string name = session.Label(node);
  std::string step;
  absl::Time began = absl::Now();
  absl::Status status =
      node.Stream<InstallRequest, InstallResponse>(method::kInstall, request, [&](const InstallResponse& response) {
        bool metered = response.bytes_total() > 0;
        if (!response.warning().empty()) session.Tell(node, absl::StrCat("warning: ", response.warning()));
        if (response.step() != step && metered) {
          progress.Begin(name, Doing(response.step()), response.bytes_done(), response.bytes_total());
        }
        if (response.step() != step && !metered) progress.Say(name, Doing(response.step()));
        if (response.step() == step && metered) progress.Set(name, response.bytes_done());
        step = response.step();
        return absl::OkStatus();
      });
  progress.End(name);
  // A node that ends right after its last word may take the call's end with it.
  bool ends = request.then() != stele::machine::v1::INSTALL_END_UNSPECIFIED;
  if (!status.ok() && !(step == "done" && ends && IsConnectionLoss(status))) {
    if (step.empty()) return status;
    status = Annotate(status, absl::StrCat("step ", step));
    return IsConnectionLoss(status) ? WithExit(status, ExitCode::kUnreachable, kAfterLoss) : status;
  }
  if (step != "done") return absl::InternalError("the node ended the call without a word that it is done");
  absl::string_view then = request.then() == stele::machine::v1::INSTALL_END_REBOOT      ? "; reboots"
                           : request.then() == stele::machine::v1::INSTALL_END_POWER_OFF ? "; powers off"
                                                                                         : "";
  session.Tell(node, absl::StrCat("installed in ", HumanDuration(absl::Now() - began), then));
  return absl::OkStatus();
}

ExitCode Install(Session& session, const Options& options) {
  if (options.reboot && options.power_off) {
    return session.Report("", UsageError("--reboot and --power-off exclude each other"));
  }
  InstallRequest request = RequestOf(options);
  ExitCode code = session.ForEachNode("install", [&](Node& node) { return PlanNode(node, session, request); });
  if (code != ExitCode::kOk || options.dry_run) return code;
  absl::string_view what = options.wipe ? "wipe that disk and install, on" : "install, on";
  if (!ConfirmedOrTold(session, options.yes, what, &code)) return code;
  Progress progress(session.console());
  Interrupt interrupt(session.console(), kGoesOnText);
  return session.ForEachNode("install", [&](Node& node) { return InstallNode(node, session, progress, request); });
}

}  // namespace

Command InstallCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "install";
  command.summary = "puts the system that the node was booted from onto a disk";
  command.description =
      "For a node that runs from ISO, PXE or another medium. Prints what becomes of the disk and asks; off a terminal\n"
      "it wants --yes. The disk is the one that everything given fits; nothing given: the configuration's. One in\n"
      "use, and one that holds anything, are refused, the latter unless there is --wipe. It may be done again after\n"
      "a power cut at any moment.";
  command.arguments = {
      {"--disk", "PATH", "on the node: /dev/nvme0n1, or a link to it", &options->path},
      {"--serial", "TEXT", "the disk with this serial number", &options->serial},
      {"--model", "TEXT", "with this in its model's name", &options->model},
      {"--wwid", "TEXT", "with this world-wide identifier, such as eui.… or naa.…", &options->wwid},
      {"--min-size", "GIB", "of at least so many GiB", &options->min_size},
      {"--max-size", "GIB", "of at most so many GiB", &options->max_size},
      {"--wipe", "", "also a disk that holds something: all of it is lost", &options->wipe},
      {"--reboot", "", "reboots afterwards; default: goes on from memory", &options->reboot},
      {"--power-off", "", "powers off afterwards", &options->power_off},
      {"--dry-run", "", "prints what would be done, and does nothing", &options->dry_run},
      {"-y,--yes", "", "does not ask", &options->yes},
  };
  command.run = [options](Session& session) { return Install(session, *options); };
  return command;
}

}  // namespace stele::osctl
