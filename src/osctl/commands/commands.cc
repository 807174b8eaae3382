#include "osctl/commands/commands.h"

#include "osctl/session.h"

namespace stele::osctl {

Command RootCommand(GlobalOptions* options) {
  Command root;
  root.name = "osctl";
  root.summary = "manages Stele nodes";
  root.description =
      "Contexts, with the nodes' addresses and the keys for them, are in $OSCTLCONFIG, else in\n"
      "$XDG_CONFIG_HOME/stele/config.yaml, else in ~/.config/stele/config.yaml.\n"
      "Data goes to stdout, words to stderr. With several nodes, tables have a column NODE and lines begin with it; "
      "each\n"
      "that fails is named with the reason, and the exit code is the highest of all. See docs/fleet.md.";
  root.arguments = {
      {"-n,--nodes", "NODE", "NAME, HOST[:PORT], @CLASS or all, with commas between; default: the context's only one",
       &options->nodes, Presence::kOptional, Completion::kNode},
      {"--context", "NAME", "the context to take; default: the current one", &options->context, Presence::kOptional,
       Completion::kContext},
      {"--timeout", "DURATION", "of each call and connection, default 10s; of a follower without its node, default 60s",
       &options->timeout},
      {"--concurrency", "N", "how many nodes at a time; default 128, and all of them where something is followed",
       &options->concurrency},
      {"--deadline", "DURATION", "of all that is done with one node; default: as long as it takes", &options->deadline},
      {"--server-name", "NAME", "the name that the node's certificate must carry; default: the one dialled",
       &options->server_name},
  };
  root.subcommands = {
      GetCommand(),        LogsCommand(),       DmesgCommand(),     AuditCommand(),    EventsCommand(),
      TopCommand(),        DashboardCommand(),  MetricsCommand(),   SupportCommand(),  VersionCommand(),
      LsCommand(),         ReadCommand(),       DuCommand(),        ArchiveCommand(),  PingCommand(),
      TracerouteCommand(), ResolveCommand(),    ProbeCommand(),     CaptureCommand(),  ApplyCommand(),
      PatchCommand(),      EditCommand(),       ConfigCommand(),    ExplainCommand(),  ServiceCommand(),
      RebootCommand(),     ShutdownCommand(),   UpgradeCommand(),   RollbackCommand(), InstallCommand(),
      ResetCommand(),      ImageCommand(),      ContainerCommand(), CertCommand(),     GenCommand(),
      ContextCommand(),    CompletionCommand(), HelpCommand(),
  };
  return root;
}

}  // namespace stele::osctl
