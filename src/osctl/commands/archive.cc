// osctl archive: a directory of a node as a tar archive.
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "base/unique_fd.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/files.h"
#include "osctl/failure.h"
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

// Where the archive goes: stdout, or a file that has its name once it is whole.
class Destination {
 public:
  Destination(Console& console, const std::string& path) : console_(console), path_(path) {}
  ~Destination() {
    if (fd_.ok()) ::unlink(Part().c_str());
  }

  // For its owner's eyes: it may hold what is for administrators.
  absl::Status Open() {
    if (path_.empty()) return absl::OkStatus();
    fd_.reset(::open(Part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    return fd_.ok() ? absl::OkStatus() : Local(ErrnoStatus("make ", Part()));
  }
  absl::Status Write(absl::string_view bytes) {
    if (path_.empty()) {
      console_.Out(bytes);
      return absl::OkStatus();
    }
    return Local(Annotate(WriteAll(fd_.get(), bytes), absl::StrCat("write ", Part())));
  }
  absl::Status Finish() {
    if (path_.empty()) return absl::OkStatus();
    if (::fsync(fd_.get()) != 0) return Local(ErrnoStatus("write ", Part()));
    if (::rename(Part().c_str(), path_.c_str()) != 0) return Local(ErrnoStatus("name ", path_));
    fd_.reset();
    return absl::OkStatus();
  }

 private:
  std::string Part() const { return path_ + ".part"; }
  static absl::Status Local(absl::Status status) {
    return status.ok() ? status : WithExit(std::move(status), ExitCode::kLocal);
  }

  Console& console_;
  const std::string path_;
  UniqueFd fd_;
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
  absl::StatusOr<std::vector<std::unique_ptr<Node>>> nodes = session.Nodes();
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
