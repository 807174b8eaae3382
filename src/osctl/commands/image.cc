// osctl image: container images for the node's containerd, and Stele's own image files (image_file.cc).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "base/unique_fd.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/end.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/output/progress.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ImportImageRequest;
using stele::machine::v1::ImportImageResponse;

constexpr absl::Duration kRemoveTimeout = absl::Seconds(40);
constexpr size_t kChunk = 256 << 10;  // what the API allows in one message

absl::StatusOr<UniqueFd> OpenArchive(const std::string& path, uint64_t* size) {
  std::string real = path == "-" ? "/dev/stdin" : path;
  UniqueFd fd(::open(real.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return WithExit(ErrnoStatus("open ", path), ExitCode::kLocal);
  struct stat info = {};
  if (::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode)) *size = info.st_size;
  if (S_ISDIR(info.st_mode)) return LocalError(absl::StrCat(path, " is a directory"), "name an image archive");
  return fd;
}

// Fills the chunk; false at the end.
absl::StatusOr<bool> ReadChunk(int fd, const std::string& path, std::string* chunk) {
  chunk->resize(kChunk);
  size_t got = 0;
  while (got < kChunk) {
    ssize_t n = ::read(fd, chunk->data() + got, kChunk - got);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return WithExit(ErrnoStatus("read ", path), ExitCode::kLocal);
    if (n == 0) break;
    got += n;
  }
  chunk->resize(got);
  return got > 0;
}

absl::Status ImportNode(Node& node, Session& session, Progress& progress, const std::string& path) {
  uint64_t size = 0, sent = 0;
  ASSIGN_OR_RETURN(UniqueFd fd, OpenArchive(path, &size));
  std::string name = session.Label(node);
  progress.Begin(name, "sends", 0, size);
  auto response = node.Upload<ImportImageRequest, ImportImageResponse>(
      method::kImportImage, [&](ImportImageRequest* request) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(bool more, ReadChunk(fd.get(), path, request->mutable_chunk()));
        progress.Set(name, sent += request->chunk().size());
        return more;
      });
  std::string summary = progress.End(name);
  RETURN_IF_ERROR(response.status());
  session.Tell(node, absl::StrCat("imported ", summary));
  std::string names;
  for (const std::string& image : response->names()) absl::StrAppend(&names, session.Prefix(node), image, "\n");
  session.console().Out(names);
  return absl::OkStatus();
}

Command ImportCommand() {
  auto path = std::make_shared<std::string>();
  Command command;
  command.name = "import";
  command.summary = "sends a container image archive to the node's containerd";
  command.description = "An OCI layout or what `docker save` writes, at most 4 GiB. Prints the images' names.";
  command.arguments = {
      {"", "FILE", "the archive; - is stdin", path.get(), Presence::kRequired, Completion::kFile},
  };
  command.run = [path](Session& session) {
    Progress progress(session.console());
    return session.ForEachNode(absl::StrCat("import ", *path),
                               [&](Node& node) { return ImportNode(node, session, progress, *path); });
  };
  return command;
}

struct RemoveOptions {
  std::string image;
  bool force = false;
  bool yes = false;
};

Command RemoveCommand() {
  auto options = std::make_shared<RemoveOptions>();
  Command command;
  command.name = "remove";
  command.summary = "removes a container image from the node's containerd";
  command.description =
      "With all its names. The kubelet removes images that nobody uses itself when the disk gets full.";
  command.arguments = {
      {"", "IMAGE", "one of its names, or the beginning of its id, as in `osctl get images -o wide`", &options->image,
       Presence::kRequired},
      {"--force", "", "also when containers use it: they run on, and need it again to start anew", &options->force},
      {"-y,--yes", "", "does not ask on a terminal", &options->yes},
  };
  command.run = [options](Session& session) {
    std::string what = absl::StrCat("remove image ", options->image);
    ExitCode code = ExitCode::kOk;
    Ask ask = options->yes ? Ask::kNo : Ask::kOnTerminal;
    session.set_default_timeout(kRemoveTimeout);
    if (!Confirmed(session, ask, absl::StrCat(what, " from"), &code)) return code;
    return session.ForEachNode(what, [&](Node& node) -> absl::Status {
      stele::machine::v1::RemoveImageRequest request;
      request.set_image(options->image);
      request.set_force(options->force);
      ASSIGN_OR_RETURN(auto response, node.Call(method::kRemoveImage, request));
      session.Tell(node, absl::StrCat("removed, ", HumanBytes(response.size_bytes())));
      for (const std::string& name : response.names())
        session.console().Out(absl::StrCat(session.Prefix(node), name, "\n"));
      return absl::OkStatus();
    });
  };
  return command;
}

}  // namespace

Command ImageCommand() {
  Command command;
  command.name = "image";
  command.summary = "sends container images to the node and removes them; looks at Stele's own image files";
  command.subcommands = {ImportCommand(), RemoveCommand(), InspectImageCommand(), VerifyImageCommand()};
  return command;
}

}  // namespace stele::osctl
