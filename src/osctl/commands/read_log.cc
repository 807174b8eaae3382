#include "osctl/commands/read_log.h"

#include "osctl/client/follow.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/output/log_lines.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::machine::v1::ReadLogRequest;
using stele::machine::v1::ReadLogResponse;

absl::Status ReadNode(Node& node, Session& session, ReadLogRequest request, bool timestamps) {
  LogLines lines(session.Prefix(node), timestamps ? Timestamps::kShow : Timestamps::kOmit);
  return Follow(node, session.console(), session.follow_patience(), [&](const std::function<void()>& alive) {
    return node.Stream<ReadLogRequest, ReadLogResponse>(
        method::kReadLog, request, [&](const ReadLogResponse& response) {
          alive();
          if (response.lost_bytes() != 0) {
            session.console().Err(absl::StrCat("osctl: ", node.name(), ": ", HumanBytes(response.lost_bytes()),
                                               " of the log were rotated away before they could be read\n"));
          }
          if (lines.unchanged()) {
            session.console().Out(response.data());  // as it came: this is the fast path
          } else {
            session.console().Out(lines.Render(response));
          }
          // Only now, when the lines are out, may a new attempt begin after them.
          if (!response.cursor().empty()) request.set_cursor(response.cursor());
          return absl::OkStatus();
        });
  });
}

}  // namespace

void AddLogArguments(LogOptions* options, std::vector<Argument>* arguments) {
  const std::vector<Argument> all = {
      {"-f,--follow", "", "go on as lines appear", &options->follow},
      {"--tail", "N", "begin N lines before the end; default: the oldest line", &options->tail},
      {"--since", "TIME", "begin at RFC 3339, or that long ago: 5m", &options->since},
      {"--timestamps", "", "show when each line was written", &options->timestamps},
  };
  arguments->insert(arguments->end(), all.begin(), all.end());
}

ExitCode ReadLog(Session& session, absl::string_view doing, ReadLogRequest request, const LogOptions& options) {
  request.set_follow(options.follow);
  request.set_tail_lines(options.tail);
  if (!options.since.empty()) {
    absl::StatusOr<absl::Time> since = ParseTime(options.since, absl::Now());
    if (!since.ok()) return session.Report("", UsageError(since.status().message()));
    timespec time = absl::ToTimespec(*since);
    request.mutable_since()->set_seconds(time.tv_sec);
    request.mutable_since()->set_nanos(static_cast<int32_t>(time.tv_nsec));
  }
  return session.ForEachNode(doing, [&](Node& node) { return ReadNode(node, session, request, options.timestamps); });
}

}  // namespace stele::osctl
