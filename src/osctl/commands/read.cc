// osctl read: a file's bytes.
#include <memory>

#include "osctl/client/follow.h"
#include "osctl/commands/commands.h"
#include "osctl/commands/files.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/output/line_prefix.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ReadFileRequest;
using stele::machine::v1::ReadFileResponse;

struct Options {
  std::string path;
  std::string offset;
  std::string limit;
  std::string tail;
  bool follow = false;
};

absl::Status ReadNode(Node& node, Session& session, ReadFileRequest request) {
  LinePrefix lines(session.Prefix(node));
  uint64_t limit = request.limit_bytes();
  auto attempt = [&](const std::function<void()>& alive) {
    if (limit != 0 && request.limit_bytes() == 0)
      return absl::OkStatus();  // all of it came before the connection broke
    return node.Stream<ReadFileRequest, ReadFileResponse>(
        method::kReadFile, request, [&](const ReadFileResponse& response) {
          alive();
          session.console().Out(lines.Take(response.data()));
          // Only now, when they are out, may a new attempt begin after them.
          request.clear_tail_bytes();
          request.set_offset(response.offset() + response.data().size());
          if (limit != 0) request.set_limit_bytes(request.limit_bytes() - response.data().size());
          return absl::OkStatus();
        });
  };
  // What is not followed may be another file after a break: that is an error, and no gap that nobody sees.
  absl::Status status =
      request.follow() ? Follow(node, session.console(), session.follow_patience(), attempt) : attempt([] {});
  session.console().Out(lines.Rest());
  return FileFailure(std::move(status));
}

ExitCode Read(Session& session, const Options& options) {
  ReadFileRequest request;
  request.set_path(options.path);
  request.set_follow(options.follow);
  const struct {
    const std::string& text;
    void (ReadFileRequest::*set)(uint64_t);
  } kSizes[] = {{options.offset, &ReadFileRequest::set_offset},
                {options.limit, &ReadFileRequest::set_limit_bytes},
                {options.tail, &ReadFileRequest::set_tail_bytes}};
  for (const auto& size : kSizes) {
    if (size.text.empty()) continue;
    absl::StatusOr<uint64_t> bytes = ParseBytes(size.text);
    if (!bytes.ok()) return session.Report("", UsageError(bytes.status().message()));
    (request.*size.set)(*bytes);
  }
  if (!options.offset.empty() && !options.tail.empty()) {
    return session.Report("", UsageError("--offset and --tail contradict each other", "give one of them"));
  }
  return session.ForEachNode(absl::StrCat("read ", options.path),
                             [&](Node& node) { return ReadNode(node, session, request); });
}

}  // namespace

Command ReadCommand() {
  auto options = std::make_shared<Options>();
  Command command;
  command.name = "read";
  command.summary = "prints a file of the nodes";
  command.description =
      "  osctl read /proc/meminfo\n"
      "  osctl read /var/log/app.log -f --tail 4KiB\n"
      "Its bytes as they are, to stdout; of several nodes each line behind its node's name. BYTES are 4096, 64KiB, "
      "1MiB, …";
  command.arguments = {
      {"", "PATH", "a regular file", &options->path, Presence::kRequired, Completion::kNodeFile},
      {"--offset", "BYTES", "begin at this byte", &options->offset},
      {"--limit", "BYTES", "end after so many", &options->limit},
      {"--tail", "BYTES", "begin so many before the end", &options->tail},
      {"-f,--follow", "", "go on as the file grows", &options->follow},
  };
  command.run = [options](Session& session) { return Read(session, *options); };
  return command;
}

}  // namespace stele::osctl
