// The one table of commands; each is made by the file of its name.
#pragma once

#include <string>
#include <vector>

#include "osctl/command.h"

namespace stele::osctl {

class Session;
struct GlobalOptions;

// `osctl` itself, with its global options and every command below it.
Command RootCommand(GlobalOptions* options);

Command ApplyCommand();
Command ArchiveCommand();
Command AuditCommand();
Command CaptureCommand();
Command CertCommand();
Command CompletionCommand();
Command ConfigCommand();
Command ContextCommand();
Command DashboardCommand();
Command DmesgCommand();
Command DuCommand();
Command EditCommand();
Command EventsCommand();
Command ExplainCommand();
Command GenCommand();
Command GetCommand();
Command HelpCommand();
Command ImageCommand();
Command ContainerCommand();
Command InstallCommand();
Command LogsCommand();
Command LsCommand();
Command PatchCommand();
Command PingCommand();
Command ProbeCommand();
Command MetricsCommand();
Command SupportCommand();
Command ReadCommand();
Command RebootCommand();
Command ResetCommand();
Command ResolveCommand();
Command RollbackCommand();
Command ServiceCommand();
Command ShutdownCommand();
Command TopCommand();
Command TracerouteCommand();
Command UpgradeCommand();
Command VersionCommand();

// `osctl __complete WORDS…`: what fits the last word. The words are no whole command line yet.
ExitCode Complete(Session& session, GlobalOptions* options, const std::vector<std::string>& words);

// Parts of `osctl image`.
Command InspectImageCommand();
Command VerifyImageCommand();

// Parts of `osctl gen`.
Command GenClientCommand();
Command GenConfigCommand();
Command GenManCommand();
Command GenNodeCommand();
Command GenPkiCommand();
Command GenReferenceCommand();

}  // namespace stele::osctl
