// osctl gen: keys and configurations. Speaks to no node.
#include "osctl/commands/gen.h"

#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/humanize.h"

namespace stele::osctl {

void AddValidityArguments(ValidityOptions* options, std::vector<Argument>* arguments) {
  arguments->push_back({"--valid-for", "DURATION",
                        "how long it holds; default: a CA 3650d, a server 365d, a client 90d", &options->valid_for});
  arguments->push_back(
      {"--not-before", "TIME", "RFC 3339, or that long ago; default: an hour ago", &options->not_before});
  arguments->push_back(
      {"--not-after", "TIME", "RFC 3339, or that long ago, for tests; instead of --valid-for", &options->not_after});
}

absl::StatusOr<Validity> ValidityOf(const ValidityOptions& options, absl::Duration otherwise) {
  absl::Time now = absl::Now();
  // An hour's grace: a node whose clock is a little behind takes what was made just now.
  Validity validity{now - absl::Hours(1),
                    now + (options.valid_for == absl::ZeroDuration() ? otherwise : options.valid_for)};
  for (auto [text, time] :
       {std::pair(&options.not_before, &validity.not_before), std::pair(&options.not_after, &validity.not_after)}) {
    if (text->empty()) continue;
    absl::StatusOr<absl::Time> parsed = ParseTime(*text, now);
    if (!parsed.ok()) return UsageError(parsed.status().message());
    *time = *parsed;
  }
  if (!options.not_after.empty() && options.not_before.empty() && validity.not_after <= validity.not_before) {
    validity.not_before = validity.not_after - absl::Hours(1);  // `--not-after 1d`: an expired one
  }
  if (validity.not_after <= validity.not_before) return UsageError("the certificate would end before it begins");
  return validity;
}

Command GenCommand() {
  Command command;
  command.name = "gen";
  command.summary = "makes keys, certificates and configurations, on this machine";
  command.subcommands = {GenNodeCommand(),   GenPkiCommand(), GenClientCommand(),
                         GenConfigCommand(), GenManCommand(), GenReferenceCommand()};
  return command;
}

}  // namespace stele::osctl
