// What the commands that change a configuration share: `config`, `apply`, `patch`, `edit`.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"
#include "osctl/session.h"

namespace stele::osctl {

Argument ConfigFileArgument(std::string* file);
// At most 1 MiB; - is stdin.
absl::StatusOr<std::string> ReadConfigFile(const std::string& path);

// Prints each problem on a line of its own, as compilers do, and answers what that means. `file` is what they are in.
absl::Status RefusedConfig(Session& session, const Node& node, const std::string& file,
                           const std::vector<std::string>& lines);

// How a change takes effect.
struct ConfigChangeOptions {
  std::string mode = "auto";
  bool dry_run = false;
};
std::vector<Argument> ConfigChangeArguments(ConfigChangeOptions* options);

template <typename Request>
void SetConfigChange(const Session& session, const ConfigChangeOptions& options, Request* request) {
  request->set_mode(options.mode == "staged" ? stele::machine::v1::APPLY_MODE_STAGED
                    : options.mode == "try"  ? stele::machine::v1::APPLY_MODE_TRY
                                             : stele::machine::v1::APPLY_MODE_AUTO);
  request->set_validate_only(options.dry_run);
  absl::Duration timeout = session.options().timeout;
  if (options.mode != "try" || timeout == absl::ZeroDuration()) return;
  request->mutable_try_timeout()->set_seconds(absl::ToInt64Seconds(timeout));
  request->mutable_try_timeout()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(timeout % absl::Seconds(1))));
}

void PrintConfigPlan(Session& session, const Node& node, const std::vector<std::string>& plan);

// The plan on stdout, and what became of `file` on stderr.
template <typename Response>
void TellConfigChange(Session& session, const Node& node, const std::string& file, const ConfigChangeOptions& options,
                      const Response& response) {
  PrintConfigPlan(session, node, {response.plan().begin(), response.plan().end()});
  std::string done = absl::StrCat("applied as generation ", response.generation());
  if (options.mode == "staged") done = "staged; it takes effect at the next boot";
  if (options.mode == "try") {
    absl::Time deadline = absl::FromUnixSeconds(response.try_deadline().seconds());
    done = absl::StrCat("generation ", response.generation(), " is on trial until ", Rfc3339(deadline),
                        ": `osctl config confirm ", response.generation(), "` keeps it");
  }
  if (options.dry_run) done = absl::StrCat(file, " would be applied");
  session.Tell(node, done);
}

// The failure of a call that brings a configuration: problems are printed one by one.
inline absl::Status ConfigCallFailure(Session& session, const Node& node, const std::string& file,
                                      const absl::Status& status) {
  if (!absl::IsInvalidArgument(status)) return status;
  absl::string_view lines = absl::StripPrefix(status.message(), "the configuration is refused\n");
  return RefusedConfig(session, node, file, absl::StrSplit(lines, '\n', absl::SkipEmpty()));
}

// Parts of `osctl config`.
Command ConfigHistoryCommand();
Command ConfigDiffCommand();
Command ConfirmConfigCommand();
Command RevertConfigCommand();

}  // namespace stele::osctl
