// osctl archive: a directory of a node as a tar archive.
#include <memory>

#include "osctl/commands/commands.h"
#include "osctl/commands/files.h"
#include "osctl/failure.h"
#include "osctl/output/new_file.h"
#include "osctl/output/progress.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ArchiveRequest;
using stele::machine::v1::ArchiveResponse;
using stele::machine::v1::ArchiveSummary;

struct Options {
  std::string path;
  std::string file;
};

// Where the archive goes: stdout without a path.
class Destination {
 public:
  Destination(Console& console, const std::string& path) : console_(console), file_(path) {}

  absl::Status Open() { return to_stdout() ? absl::OkStatus() : file_.Open(); }
  absl::Status Write(absl::string_view bytes) {
    if (!to_stdout()) return file_.Write(bytes);
    console_.Out(bytes);
    return absl::OkStatus();
  }
  absl::Status Finish() { return to_stdout() ? absl::OkStatus() : file_.Finish(); }

 private:
  bool to_stdout() const { return file_.path().empty(); }

  Console& console_;
  NewFile file_;
};

absl::Status ArchiveNode(Node& node, Session& session, const Options& options) {
  Destination destination(session.console(), options.file);
  RETURN_IF_ERROR(destination.Open());
  ArchiveRequest request;
  request.set_path(options.path);
  Progress progress(session.console());
  progress.Begin("", "receives", 0, 0);
  uint64_t received = 0;
  bool whole = false;
  ArchiveSummary summary;
  absl::Status status =
      node.Stream<ArchiveRequest, ArchiveResponse>(method::kArchive, request, [&](const ArchiveResponse& response) {
        if (response.has_summary()) {
          summary = response.summary();
          whole = true;
        }
        progress.Set("", received += response.data().size());
        return destination.Write(response.data());
      });
  std::string moved = progress.End("");
  RETURN_IF_ERROR(FileFailure(std::move(status)));
  if (!whole) return absl::DataLossError("the node ended the archive without a word that it is whole: try again");
  RETURN_IF_ERROR(destination.Finish());
  TellOmissions(session, node, summary.omissions());
  session.Tell(node, absl::StrCat(summary.files(), " files, ", summary.directories(), " directories, ", summary.links(),
                                  " links; ", moved));
  return absl::OkStatus();
}

ExitCode Archive(Session& session, const Options& options) {
  if (options.file.empty() && session.console().OutIsTerminal()) {
    return session.Report("", UsageError("an archive is no text for a terminal",
                                         absl::StrCat("give -f FILE, or `osctl archive ", options.path, " | tar -x`")));
  }
  absl::StatusOr<std::vector<Target>> nodes = session.Targets();
  if (!nodes.ok()) return session.Report("", nodes.status());
  if (nodes->size() > 1) {
    return session.Report("", UsageError("an archive is of one node", "choose it with -n, one after another"));
  }
  return session.ForEachNode(absl::StrCat("archive ", options.path),
                             [&](Node& node) { return ArchiveNode(node, session, options); });
}

}  // namespace

Command ArchiveCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "archive";
  command.summary = "fetches a directory of a node as a tar archive";
  command.description =
      "  osctl archive /var/log -f logs.tar\n"
      "  osctl archive /etc | tar -x\n"
      "Directories, regular files and symbolic links, by their whole paths. What this role may not read is left out; "
      "stderr\n"
      "tells what was.";
  command.arguments = {
      {"", "PATH", "a directory, or a file", &options->path, Presence::kRequired, Completion::kNodeFile},
      {"-f,--file", "FILE", "write it there, once it is whole; default: stdout", &options->file, Presence::kOptional,
       Completion::kFile},
  };
  command.run = [options](Session& session) { return Archive(session, *options); };
  return command;
}

}  // namespace stele::osctl
