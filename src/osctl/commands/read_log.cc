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

absl::Status ReadNode(Node& node, Session& session, ReadLogRequest request, bool timestamps,
                      const std::vector<std::string>& names) {
  LogLines lines(session.Prefix(node), timestamps ? Timestamps::kShow : Timestamps::kOmit, names);
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
      {"--until", "TIME", "end before RFC 3339, or that long ago", &options->until},
      {"-g,--grep", "PATTERN", "only lines in which the node finds this regular expression (RE2)", &options->grep},
      {"--invert", "", "only lines in which --grep finds nothing", &options->invert},
      {"--previous-boot", "", "what was kept of the boot before", &options->previous_boot},
      {"--timestamps", "", "show when each line was written", &options->timestamps},
  };
  arguments->insert(arguments->end(), all.begin(), all.end());
}

ExitCode ReadLog(Session& session, absl::string_view doing, ReadLogRequest request, const LogOptions& options,
                 const std::vector<std::string>& names) {
  if (options.follow && !options.until.empty()) return session.Report("", UsageError("either --follow or --until"));
  if (options.invert && options.grep.empty()) return session.Report("", UsageError("--invert is for --grep"));
  request.set_follow(options.follow);
  request.set_tail_lines(options.tail);
  request.set_pattern(options.grep);
  request.set_invert(options.invert);
  request.set_previous_boot(options.previous_boot);
  absl::Time now = absl::Now();  // one for both, so that a span is as long as it says
  for (auto [text, out] : {std::pair(&options.since, &ReadLogRequest::mutable_since),
                           std::pair(&options.until, &ReadLogRequest::mutable_until)}) {
    if (text->empty()) continue;
    absl::StatusOr<absl::Time> time = ParseTime(*text, now);
    if (!time.ok()) return session.Report("", UsageError(time.status().message()));
    timespec parts = absl::ToTimespec(*time);
    (request.*out)()->set_seconds(parts.tv_sec);
    (request.*out)()->set_nanos(static_cast<int32_t>(parts.tv_nsec));
  }
  return session.ForEachNode(doing, options.follow ? Lasts::kUntilEnded : Lasts::kUntilDone,
                             [&](Node& node) { return ReadNode(node, session, request, options.timestamps, names); });
}

}  // namespace stele::osctl
