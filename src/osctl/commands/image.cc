// osctl image import: sends an image archive to a node.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/unique_fd.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ImportImageRequest;
using stele::machine::v1::ImportImageResponse;

constexpr size_t kChunk = 256 << 10;  // what the API allows in one message

// "12.5MiB of 40.0MiB, 31%, 24.1MiB/s" on one line of a terminal that is written over again.
class Progress {
 public:
  Progress(Console& console, std::string prefix, uint64_t total)
      : console_(console), prefix_(std::move(prefix)), total_(total) {}

  void Add(size_t bytes) {
    sent_ += bytes;
    absl::Time now = absl::Now();
    if (!console_.ErrIsTerminal() || now - shown_ < absl::Milliseconds(200)) return;
    shown_ = now;
    std::string of = total_ == 0 ? "" : absl::StrFormat(" of %s, %d%%", HumanBytes(total_), 100 * sent_ / total_);
    console_.Err(absl::StrCat("\r", prefix_, HumanBytes(sent_), of, ", ", Rate(now), "\x1b[K"));
  }

  std::string Summary() const {
    return absl::StrCat(HumanBytes(sent_), " in ", HumanDuration(absl::Now() - began_), ", ", Rate(absl::Now()));
  }
  void Clear() {
    if (console_.ErrIsTerminal()) console_.Err("\r\x1b[K");
  }

 private:
  std::string Rate(absl::Time now) const {
    double seconds = std::max(absl::ToDoubleSeconds(now - began_), 1e-3);
    return absl::StrCat(HumanBytes(static_cast<uint64_t>(static_cast<double>(sent_) / seconds)), "/s");
  }

  Console& console_;
  std::string prefix_;
  uint64_t total_;
  uint64_t sent_ = 0;
  absl::Time began_ = absl::Now();
  absl::Time shown_ = absl::Now();
};

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

absl::Status ImportNode(Node& node, Session& session, const std::string& path) {
  uint64_t size = 0;
  ASSIGN_OR_RETURN(UniqueFd fd, OpenArchive(path, &size));
  Progress progress(session.console(), session.Prefix(node), size);
  auto response = node.Upload<ImportImageRequest, ImportImageResponse>(
      method::kImportImage, [&](ImportImageRequest* request) -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(bool more, ReadChunk(fd.get(), path, request->mutable_chunk()));
        progress.Add(request->chunk().size());
        return more;
      });
  progress.Clear();
  RETURN_IF_ERROR(response.status());
  session.console().Err(absl::StrCat(session.Prefix(node), "imported ", progress.Summary(), "\n"));
  std::string names;
  for (const std::string& name : response->names()) absl::StrAppend(&names, session.Prefix(node), name, "\n");
  session.console().Out(names);
  return absl::OkStatus();
}

}  // namespace

Command ImageCommand() {
  auto path = std::make_shared<std::string>();
  Command import;
  import.name = "import";
  import.summary = "sends an image archive to the node's containerd";
  import.description = "An OCI layout or what `docker save` writes, at most 4 GiB. Prints the images' names.";
  import.arguments = {{ "", "FILE", "the archive; - is stdin", path.get(), Presence::kRequired, Completion::kFile }};
  import.run = [path](Session& session) {
    return session.ForEachNode(absl::StrCat("import ", *path),
                               [&](Node& node) { return ImportNode(node, session, *path);
});
};  // namespace stele::osctl
Command command;
command.name = "image";
command.summary = "brings images to the node";
command.subcommands = {std::move(import)};
return command;
}

}  // namespace stele::osctl
