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
      "Data goes to stdout, words to stderr.";
  root.arguments = {
      {"-n,--nodes", "NODE", "HOST[:PORT],… or all: the nodes to speak to; default: the context's only one",
       &options->nodes, Presence::kOptional, Completion::kNode},
      {"--context", "NAME", "the context to take; default: the current one", &options->context, Presence::kOptional,
       Completion::kContext},
      {"--timeout", "DURATION", "of each call and connection, default 10s; of a follower without its node, default 60s",
       &options->timeout},
      {"--server-name", "NAME", "the name that the node's certificate must carry; default: the one dialled",
       &options->server_name},
  };
  root.subcommands = {
      GetCommand(),        LogsCommand(),    DmesgCommand(),     EventsCommand(),  MetricsCommand(),  SupportCommand(),
      VersionCommand(),    LsCommand(),      ReadCommand(),      DuCommand(),      ArchiveCommand(),  PingCommand(),
      TracerouteCommand(), ResolveCommand(), ProbeCommand(),     CaptureCommand(), ApplyCommand(),    PatchCommand(),
      EditCommand(),       ConfigCommand(),  ServiceCommand(),   RebootCommand(),  ShutdownCommand(), UpgradeCommand(),
      RollbackCommand(),   InstallCommand(), ResetCommand(),     ImageCommand(),   GenCommand(),      ContextCommand(),
      CompletionCommand(), HelpCommand(),    ContainerCommand(),
  };
  return root;
}

}  // namespace stele::osctl
